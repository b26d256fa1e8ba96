//! What the small Apps of tests have in common: [`House`] is an App with one Group, [`Bare`] is a Group without code, and
//! [`Plain`] is a Replica that does nothing with its sockets. So a test only writes what it is about.

use std::marker::PhantomData;

use dog::{App, ClientId, Context, Dog, Group, GroupContext, Limit, Replica, Request, Response, Result, query_param};

/// The name of the Group to which requests go that name none.
pub const MAIN: &str = "main";

/// An App with the Group `G`. A request with `?u=NAME` is one of the client NAME, and goes to its Replica; every other goes to the
/// Group itself. `?group=NAME` names the Group, [`MAIN`] by default.
pub struct House<G>(PhantomData<fn() -> G>);

impl<G> House<G> {
    /// The App.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<G> Default for House<G> {
    fn default() -> Self {
        Self::new()
    }
}

impl<G: Group> App for House<G> {
    type Groups = (G,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let group = dog.group::<G>(query_param(&request, "group").as_deref().unwrap_or(MAIN));
        match query_param(&request, "u") {
            Some(name) => Ok(group.identify(&ClientId::new(name)?).await?.fetch(request).await?),
            None => Ok(group.fetch(request).await?),
        }
    }
}

/// A Group without code, whose Replicas are of the type `R` and have this many seats.
pub struct Bare<R, const SEATS: u32>(PhantomData<fn() -> R>);

impl<R: Replica<Group = Self>, const SEATS: u32> Group for Bare<R, SEATS> {
    type Replica = R;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self(PhantomData))
    }

    fn limit(&self) -> Limit {
        Limit::new(SEATS)
    }
}

/// A Replica of the Group `G` whose requests become sockets, and which handles nothing that comes from them.
pub struct Plain<G>(PhantomData<fn() -> G>);

impl<G: Group<Replica = Self>> Replica for Plain<G> {
    type Group = G;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self(PhantomData))
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }
}
