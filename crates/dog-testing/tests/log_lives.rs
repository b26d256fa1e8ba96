//! A durable log and several lives of its Group: faults that the simulation has found.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dog::{Body, Env, Group, GroupContext, HistoryOrder, Limit, Log, ROOM, Request, Response, Result, query_param};
use dog_test_support::app::{House, MAIN, Plain};
use dog_testing::Cluster;
use dog_testing::world::{Micros, World, WorldConfig};
use http::StatusCode;

const SECOND: Micros = 1_000_000;

/// The texts that were published, with their offsets, and how many were not.
#[derive(Debug, Default)]
struct Answers {
    published: Vec<(u64, String)>,
    refused: usize,
    kept: Vec<(u64, String)>,
}

type Shared = Arc<Mutex<Answers>>;

struct Hall(Shared);

impl Group for Hall {
    type Replica = Plain<Self>;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self(cx.env().get::<Shared>().cloned().unwrap_or_default()))
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    fn log(&self, _: &str) -> Log {
        Log::durable()
    }

    /// Publishes a text, or reads all.
    async fn receive(&self, cx: &GroupContext, request: Request) -> Result<Response> {
        match query_param(&request, "text") {
            Some(text) => {
                let published = cx.publish(ROOM, text.as_str()).await;
                let mut answers = self.0.lock().unwrap();
                match published {
                    Ok(position) => answers.published.push((position.offset(), text)),
                    Err(_) => answers.refused += 1,
                }
            }
            None => {
                let page = cx.history(ROOM, None, HistoryOrder::OldestFirst, 100).await?;
                let text = |message: &dog::Message| message.as_text().unwrap_or_default().to_owned();
                let kept = page.publications.iter().map(|one| (one.offset, text(&one.message)));
                self.0.lock().unwrap().kept = kept.collect();
            }
        }
        Ok(dog::text_response(StatusCode::OK, ""))
    }
}

fn run(world: &World, lasts: Micros) {
    let until = world.micros() + lasts;
    while world.step(until) {}
    world.advance_to(until);
}

fn ask(world: &Rc<World>, node: usize, path: &str) {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().unwrap();
    world.ask(node, request);
    run(world, SECOND);
}

/// The node of the first life is struck off, and learns it late. Its last write is refused, and the log then has the publication of
/// the second life at that offset.
#[test]
fn a_life_that_is_over_does_not_answer_with_an_offset_of_the_next_one() {
    let mut refused = 0;
    for seed in 0..40 {
        let answers = Shared::default();
        let config = WorldConfig { seed, nodes: 2, ..WorldConfig::default() };
        let world = World::new(House::<Hall>::new(), Env::new().with(Arc::clone(&answers)), config);
        ask(&world, 0, "/?text=first");
        let node = world.lives()[0].1.life.node();
        world.isolate_node(node, 6 * SECOND);
        run(&world, 5 * SECOND);
        ask(&world, 1 - node, "/?text=next");
        // It can be reached again, and perhaps it has not noticed yet.
        if world.serving_nodes().contains(&node) {
            ask(&world, node, "/?text=own");
        }
        world.end_outages();
        run(&world, 10 * SECOND);
        ask(&world, 1 - node, "/");
        world.end();
        let answers = answers.lock().unwrap();
        assert!(answers.published.iter().all(|one| answers.kept.contains(one)), "seed {seed}: {answers:?}");
        refused += answers.refused;
    }
    assert!(refused > 0, "no life was over without knowing it");
}

/// Its Replica has nothing to compare with: it asks for what was published since it has sockets.
#[test]
fn a_subscriber_that_has_got_nothing_yet_gets_what_was_lost_with_a_life_of_the_group() -> Result {
    let cluster = Cluster::builder(House::<Hall>::new()).start();
    let publish = |text: &str| {
        cluster.advance(Duration::from_millis(1));
        cluster.wait_for(cluster.group::<Hall>(MAIN).publish(ROOM, text))
    };
    publish("before")?;
    cluster.advance(Duration::from_millis(1));
    let far = cluster.connect("/ws?u=far");
    assert!(cluster.restart_group::<Hall>(MAIN));
    cluster.cut_off_replica(far.replica());
    publish("for far alone")?;
    assert!(cluster.restart_group::<Hall>(MAIN));
    cluster.advance(Duration::from_millis(1));
    let late = cluster.connect("/ws?u=late");
    cluster.heal();
    publish("for both")?;
    cluster.advance(Duration::from_secs(1));
    assert_eq!(far.received_texts(), ["for far alone", "for both"]);
    assert_eq!(late.received_texts(), ["for both"]);
    Ok(())
}
