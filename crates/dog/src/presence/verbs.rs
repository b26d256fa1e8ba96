//! How it is read who is in a Group: the macro makes the methods that [`Context`](crate::Context),
//! [`GroupContext`](crate::GroupContext) and [`GroupHandle`](crate::GroupHandle) have in common.

#[cfg(feature = "presence")]
use crate::features::Presences;

/// The verbs, for an `impl` of a type with the method `presence_verb`.
#[cfg(feature = "presence")]
macro_rules! presence_verbs {
    () => {
        /// Who is in the Group: the clients after `after`, each with its connections and their values. `limit` clients and
        /// connections together (1 to 1000), and at most 256 KiB.
        ///
        /// A page has the version that it is right for. The next page may have a later one: a client that is there while all
        /// pages are read is on one of them. In a Replica that [follows](crate::Replica::FOLLOWS_PRESENCE), pages come from its own
        /// memory: pages that are read without an `.await` of anything else have one version, and the changes with greater versions
        /// lead on from there.
        ///
        /// Elsewhere it asks the Group, and activates it if it exists and is not in memory. It takes no seat, and makes no Group
        /// or Replica exist. After a restart it waits until the Replicas were counted, for 2 s at most. Cancel safe.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let mut after = None;
        /// loop {
        ///     let page = group.presence(after.as_ref(), 100).await?;
        ///     for present in &page.clients {
        ///         println!("{}: {} connections", present.client, present.connections.len());
        ///     }
        ///     after = page.next;
        ///     if after.is_none() {
        ///         break;
        ///     }
        /// }
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// - [`Error::is_no_presence`](crate::Error::is_no_presence): the Group has none in its
        ///   [policy](crate::Policy::presence).
        /// - [`Error::is_deadline`](crate::Error::is_deadline): the Group did not answer within 3 s.
        /// - [`Error::is_unreachable`](crate::Error::is_unreachable): the Group cannot be reached.
        /// - [`Error::is_too_many`](crate::Error::is_too_many): 1,000 callers wait for the Replicas of this Group to be counted.
        /// - [`Error::is_closed`](crate::Error::is_closed): this activation is over.
        pub async fn presence(
            &self,
            after: Option<&$crate::PresenceCursor>,
            limit: usize,
        ) -> ::std::result::Result<$crate::PresencePage, $crate::Error> {
            let feature = $crate::presence::verbs::feature();
            let verb = $crate::verbs::GroupVerb::presence(None, after, limit, feature);
            self.presence_verb(verb).await?.into_presence()
        }

        /// How many clients and connections are in the Group, however many they are: see [`presence`](Self::presence).
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let counts = group.presence_counts().await?;
        /// println!("{} people with {} windows", counts.clients, counts.connections);
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// As [`presence`](Self::presence).
        pub async fn presence_counts(&self) -> ::std::result::Result<$crate::PresenceCounts, $crate::Error> {
            let feature = $crate::presence::verbs::feature();
            let verb = $crate::verbs::GroupVerb::PresenceCounts { feature, topic: None };
            self.presence_verb(verb).await?.into_presence_counts()
        }

        /// Who is in a topic: the clients with a socket that is [subscribed](crate::Socket::subscribe) to it, anywhere, and those in
        /// their grace time. The topic needs a presence: [`Group::has_presence`](crate::Group::has_presence) says which have one.
        ///
        /// It is [`presence`](Self::presence) in every other way. The connections have the same names and values as there.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let page = group.presence_of("doc/readme", None, 100).await?;
        /// for reader in &page.clients {
        ///     println!("{} reads it in {} windows", reader.client, reader.connections.len());
        /// }
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// As [`presence`](Self::presence), and
        /// - [`Error::is_no_presence`](crate::Error::is_no_presence): the topic has none.
        /// - [`Error::is_invalid_topic`](crate::Error::is_invalid_topic): it cannot be the name of a topic.
        #[cfg(feature = "topics")]
        pub async fn presence_of(
            &self,
            topic: &str,
            after: Option<&$crate::PresenceCursor>,
            limit: usize,
        ) -> ::std::result::Result<$crate::PresencePage, $crate::Error> {
            let (feature, topic) = ($crate::presence::verbs::feature(), $crate::Topic::new(topic)?);
            let verb = $crate::verbs::GroupVerb::presence(Some(topic), after, limit, feature);
            self.presence_verb(verb).await?.into_presence()
        }

        /// How many clients and connections are in a topic, however many they are: see [`presence_of`](Self::presence_of).
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let counts = group.presence_counts_of("doc/readme").await?;
        /// println!("{} people read it", counts.clients);
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// As [`presence_of`](Self::presence_of).
        #[cfg(feature = "topics")]
        pub async fn presence_counts_of(
            &self,
            topic: &str,
        ) -> ::std::result::Result<$crate::PresenceCounts, $crate::Error> {
            let (feature, topic) = ($crate::presence::verbs::feature(), $crate::Topic::new(topic)?);
            let verb = $crate::verbs::GroupVerb::PresenceCounts { feature, topic: Some(topic) };
            self.presence_verb(verb).await?.into_presence_counts()
        }
    };
}
#[cfg(feature = "presence")]
pub(crate) use presence_verbs;

/// That there is presence.
#[cfg(feature = "presence")]
pub(crate) fn feature() -> Presences {
    Presences::get().unwrap_or_else(|| unreachable!("the feature is on"))
}
