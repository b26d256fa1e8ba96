//! The methods that [`Context`](crate::Context) and [`GroupContext`](crate::GroupContext) have in common. A macro, so that each
//! type has them without a trait that users would have to import.

/// The common methods, for an `impl` of a type with a field `port` that is an `Rc` of an
/// [`ObjectPort`](crate::port::ObjectPort). The argument names the generic parameters of the type.
macro_rules! object_methods {
    ($($parameter:ident)?) => {
        /// The values that the program passed in when it started the host.
        pub fn env(&self) -> &$crate::Env {
            self.port.env()
        }

        /// The time of the host.
        pub fn now(&self) -> $crate::Timestamp {
            self.port.now()
        }

        /// Completes when a task that you have spawned, or a response that you stream, should end: the server has begun to
        /// shut down, or this activation of the object is over. Cancel safe.
        ///
        /// A streamed response of a Replica holds its seat, and an object does not hibernate until its streams have ended. A
        /// server that shuts down ends streams itself after the time that it gives to sockets: it completes a stream of
        /// server-sent events, so that the client reconnects, and breaks off any other.
        ///
        /// ```
        /// # use dog::{Context, Replica};
        /// # async fn next_event() -> &'static str { "data: 1\n\n" }
        /// # fn send(_: &str) -> bool { true }
        /// /// A task that feeds a streamed response: `send` returns false when the client has left.
        /// async fn feed<R: Replica>(cx: Context<R>) {
        ///     let mut stopping = std::pin::pin!(cx.stopping());
        ///     loop {
        ///         let event = std::pin::pin!(next_event());
        ///         match futures_util::future::select(event, stopping.as_mut()).await {
        ///             futures_util::future::Either::Left((event, _)) if send(event) => {}
        ///             _ => return,
        ///         }
        ///     }
        /// }
        /// ```
        pub fn stopping(&self) -> impl ::std::future::Future<Output = ()> + use<$($parameter)?> {
            self.port.stopping()
        }

        /// The durable storage of this object.
        pub fn storage(&self) -> $crate::Storage {
            $crate::Storage::new(self.port.storage())
        }

        /// Sets the one alarm of this object, and replaces an earlier one. `on_alarm` is called at that time or soon after, at
        /// least once, even if the server restarts in between. When `Ok` is returned, the alarm survives a crash.
        ///
        /// Not cancel safe: if the future is dropped, the alarm may be set or not.
        ///
        /// # Errors
        /// [`Error::is_closed`](crate::Error::is_closed) or [`Error::is_storage`](crate::Error::is_storage), as
        /// [`Storage::put`](crate::Storage::put).
        pub async fn set_alarm(&self, at: $crate::Timestamp) -> ::std::result::Result<(), $crate::Error> {
            self.port.set_alarm(Some(at)).await
        }

        /// Removes the alarm, if one is set.
        ///
        /// Not cancel safe: if the future is dropped, the alarm may be removed or not.
        ///
        /// # Errors
        /// [`Error::is_closed`](crate::Error::is_closed) or [`Error::is_storage`](crate::Error::is_storage), as
        /// [`Storage::put`](crate::Storage::put).
        pub async fn delete_alarm(&self) -> ::std::result::Result<(), $crate::Error> {
            self.port.set_alarm(None).await
        }

        /// The time that the alarm is set for, or `None`. While `on_alarm` runs, this is the next alarm, if the handler has
        /// set one.
        ///
        /// Cancel safe.
        ///
        /// # Errors
        /// [`Error::is_closed`](crate::Error::is_closed) or [`Error::is_storage`](crate::Error::is_storage), as
        /// [`Storage::get`](crate::Storage::get).
        pub async fn alarm(&self) -> ::std::result::Result<Option<$crate::Timestamp>, $crate::Error> {
            self.port.alarm().await
        }
    };
}
pub(crate) use object_methods;
