//! The times of an alarm's retries when its handler fails, to the millisecond. On a real clock the retries may be late.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dog::http::StatusCode;
use dog::{
    Alarm, App, ClientId, Context, Dog, Env, Failure, Group, GroupContext, Limit, Replica, Request, Response, Result,
    Timestamp,
};
use dog_testing::Cluster;

/// The times at which the alarm has rung.
type Rings = Arc<Mutex<Vec<Timestamp>>>;

struct Hall;

impl Group for Hall {
    type Replica = Bell;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }
}

/// A Replica whose alarm handler fails or panics.
struct Bell;

impl Replica for Bell {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, _: Request) -> Result<Response> {
        cx.set_alarm("bell", cx.now(), &()).await?;
        Ok(dog::text_response(StatusCode::OK, "set"))
    }

    async fn on_alarm(&self, cx: &Context<Self>, alarm: Alarm) -> Result {
        let rings = cx.env().get::<Rings>().ok_or_else(|| Failure::new("the test has set the rings"))?;
        let times = {
            let mut rings = rings.lock().map_err(|_| Failure::new("no test has panicked"))?;
            rings.push(cx.now());
            assert_eq!(alarm.attempt() as usize, rings.len(), "a panic counts too");
            rings.len()
        };
        if times.is_multiple_of(2) {
            panic!("it rang for the {times}th time");
        }
        Err(Failure::new("it rang"))
    }
}

struct House;

impl App for House {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        Ok(dog.group::<Hall>("main").identify(&ClientId::new("client")?).await?.fetch(request).await?)
    }
}

#[test]
fn an_alarm_that_fails_rings_again_after_a_delay_that_doubles_up_to_five_minutes() {
    let rings = Rings::default();
    let cluster = Cluster::builder(House).env(Env::new().with(Arc::clone(&rings))).start();
    assert_eq!(cluster.get("/").status(), StatusCode::OK);
    cluster.advance(Duration::from_secs(511 + 2 * 300));
    let rings = rings.lock().unwrap();
    let delays: Vec<_> = rings.windows(2).map(|two| two[1].since(two[0]).as_secs_f64()).collect();
    assert_eq!(delays, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]);
}
