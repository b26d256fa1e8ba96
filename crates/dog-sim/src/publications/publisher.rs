//! Who uses logs: Replicas, Groups and the App: [`Publisher`].

use dog::{
    Context, Error, Group, GroupContext, GroupHandle, GroupId, HistoryOrder, HistoryPage, NewPublication, Position,
    PublicationReport, Replica,
};

/// Who publishes or reads.
pub(crate) trait Publisher {
    fn group(&self) -> GroupId;
    /// Whether it is an object: its publications have an order.
    fn is_object(&self) -> bool;
    async fn publish(&self, topic: &str, publication: NewPublication) -> Result<Position, Error>;
    async fn publish_confirmed(&self, topic: &str, publication: NewPublication) -> Result<PublicationReport, Error>;
    async fn reset(&self, topic: &str) -> Result<Position, Error>;
    async fn purge(&self, topic: &str) -> Result<(), Error>;
    async fn history(
        &self,
        topic: &str,
        since: Option<&Position>,
        order: HistoryOrder,
        limit: usize,
    ) -> Result<HistoryPage, Error>;
}

macro_rules! publisher {
    ([$($of:tt)*] $type:ty, $is_object:literal, $group:expr) => {
        impl<$($of)*> Publisher for $type {
            fn group(&self) -> GroupId {
                $group(self)
            }

            fn is_object(&self) -> bool {
                $is_object
            }

            async fn publish(&self, topic: &str, publication: NewPublication) -> Result<Position, Error> {
                <$type>::publish(self, topic, publication).await
            }

            async fn publish_confirmed(
                &self,
                topic: &str,
                publication: NewPublication,
            ) -> Result<PublicationReport, Error> {
                <$type>::publish_confirmed(self, topic, publication).await
            }

            async fn reset(&self, topic: &str) -> Result<Position, Error> {
                self.reset_log(topic).await
            }

            async fn purge(&self, topic: &str) -> Result<(), Error> {
                self.purge_log(topic).await
            }

            async fn history(
                &self,
                topic: &str,
                since: Option<&Position>,
                order: HistoryOrder,
                limit: usize,
            ) -> Result<HistoryPage, Error> {
                <$type>::history(self, topic, since, order, limit).await
            }
        }
    };
}

publisher!([R: Replica] Context<R>, true, |cx: &Self| cx.group());
publisher!([] GroupContext, true, |cx: &Self| cx.id());
publisher!([G: Group] GroupHandle<G>, false, |group: &Self| group.id());
