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

        /// The way to all Groups of the App, also to those of other classes: to [call](crate::GroupHandle::call) a Group, to
        /// [pass it a request](crate::GroupHandle::fetch), or to [identify](crate::GroupHandle::identify) a client there.
        ///
        /// An object does not know its App. So it is only noticed at the use of a handle that
        /// [`App::Groups`](crate::App::Groups) does not contain its Group: then every method fails with
        /// [`Error::is_unknown_group`](crate::Error::is_unknown_group). Once this activation is over, every method fails with
        /// [`Error::is_closed`](crate::Error::is_closed).
        ///
        /// Objects that wait for each other's answers wait until a deadline ends it. A [call](crate::GroupHandle::call) that
        /// is made by [`on_call`](crate::Group::on_call) has nine tenths of what is left of that call's own time, so a cycle of
        /// calls ends after fewer than a hundred of them. [`fetch`](crate::GroupHandle::fetch) has no deadline: a cycle of
        /// requests does not end by itself.
        ///
        /// A WebSocket cannot be passed on: a Replica that returns the response by which another Replica accepts a WebSocket
        /// opens none. Forward such requests in the App.
        ///
        /// ```
        /// # use dog::*;
        /// # struct Room;
        /// # impl Replica for Room {
        /// #     type Group = Lobby;
        /// #     type Gossip = ();
        /// #     type Answer = ();
        /// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
        /// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
        /// # }
        /// # struct Lobby;
        /// # impl Group for Lobby {
        /// #     type Replica = Room;
        /// #     type Call = u64;
        /// #     type Reply = u64;
        /// #     const NAME: &'static str = "lobby";
        /// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
        /// #     fn limit(&self) -> Limit { Limit::new(50) }
        /// # }
        /// /// Adds points to a player's account, which is the Group of that name.
        /// async fn reward(cx: &Context<Room>, player: &str, points: u64) -> Result<u64, Error> {
        ///     cx.dog().group::<Lobby>(player).call(&points).await
        /// }
        /// ```
        pub fn dog(&self) -> $crate::Dog<$crate::AnyApp> {
            $crate::Dog::new(self.port.dog())
        }

        /// Waits for `duration`, counted from this call. A host may wait longer, by some milliseconds if it is not busy.
        ///
        /// While a handler or a task waits, the object stays in memory. When the object's life ends, the handler or the task is
        /// dropped, and its timers with it. Only code that this library does not run, such as a task of Tokio, can hold a `Sleep`
        /// for longer: there it completes at its time.
        ///
        /// Cancel safe: dropping it releases the timer.
        pub fn sleep(&self, duration: ::std::time::Duration) -> $crate::Sleep {
            $crate::Sleep::new(self.port.sleep(duration))
        }

        /// Waits for `future`, but not longer than `duration`, counted from the first poll. A future that is late is dropped
        /// where it waits.
        ///
        /// Cancel safe if `future` is.
        ///
        /// ```
        /// # use std::time::Duration;
        /// # use dog::{Context, Replica, Result};
        /// # async fn ask_a_backend() -> u32 { 7 }
        /// # async fn handler<R: Replica>(cx: &Context<R>) -> Result {
        /// let answer = match cx.timeout(Duration::from_secs(2), ask_a_backend()).await {
        ///     Ok(answer) => answer,
        ///     Err(error) if error.is_deadline() => 0,
        ///     Err(error) => return Err(error.into()),
        /// };
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// [`Error::is_deadline`](crate::Error::is_deadline): the future did not end in time.
        pub async fn timeout<Output>(
            &self,
            duration: ::std::time::Duration,
            future: impl ::std::future::Future<Output = Output>,
        ) -> ::std::result::Result<Output, $crate::Error> {
            $crate::timers::timeout(&*self.port, duration, future).await
        }

        /// An interval that ticks every `period`, for the first time one period from now. The ticks keep to a grid, so the rate
        /// does not drift, and a tick that is late by a whole period is skipped: see [`Interval`](crate::Interval). A period
        /// under 1 ms counts as 1 ms.
        ///
        /// Await its ticks in a task of the object: see [`spawn`](Self::spawn). Nothing is written to the storage. Use an alarm
        /// for what must happen even if the server restarts.
        pub fn interval(&self, period: ::std::time::Duration) -> $crate::Interval {
            let port = ::std::rc::Rc::clone(&self.port);
            $crate::Interval::new(port, period)
        }

        /// Runs `future` as a task of this object, on its thread and beside its handlers. It is first polled after this call.
        ///
        /// **A task ends with the object's life**, and never runs later: when a handler or a task of the object panics, when the
        /// node loses the object, and at the end of the server. A task that panics ends its object's life, as a handler does,
        /// and is logged with the object's name.
        ///
        /// **A task keeps its object in memory.** So a task that never ends keeps even a Replica without sockets awake: end it
        /// when nobody is left.
        ///
        /// **A task is not durable.** A crash or a deploy ends it, and only your own code starts it again, for example in
        /// `activate` or `on_open`. For what must happen later in any case, use an alarm.
        ///
        /// At a graceful shutdown, [`stopping`](Self::stopping) completes. Tasks that go on are ended with the server, which
        /// waits for them no longer than it gives to sockets.
        ///
        /// A host outside of this library's control, such as Cloudflare's runtime, may take an object out of memory although a
        /// task waits: see the page about Workers.
        ///
        /// ```
        /// # use std::time::Duration;
        /// # use dog::*;
        /// # fn state() -> String { String::new() }
        /// /// Sends the state of a match 20 times per second, until the last player has left.
        /// fn begin<R: Replica>(cx: &Context<R>) -> Result<(), Error> {
        ///     let (cx, mut interval) = (cx.clone(), cx.interval(Duration::from_millis(50)));
        ///     cx.clone().spawn(async move {
        ///         while cx.sockets().next().is_some() {
        ///             interval.tick().await;
        ///             if cx.emit(state()).is_err() {
        ///                 return;
        ///             }
        ///         }
        ///     })?;
        ///     Ok(())
        /// }
        /// ```
        ///
        /// # Errors
        /// The future is dropped, and nothing of it runs, in these cases:
        /// - [`Error::is_too_many`](crate::Error::is_too_many): the object has [1,000 tasks](crate::MAX_TASKS) already.
        /// - [`Error::is_closed`](crate::Error::is_closed): this activation of the object is over.
        pub fn spawn<Output: 'static>(
            &self,
            future: impl ::std::future::Future<Output = Output> + 'static,
        ) -> ::std::result::Result<$crate::Task<Output>, $crate::Error> {
            let (runs, task) = $crate::tasks::task(future);
            self.port.spawn(::std::boxed::Box::pin(runs))?;
            Ok(task)
        }

        /// The durable storage of this object.
        #[cfg(feature = "storage")]
        pub fn storage(&self) -> $crate::Storage {
            $crate::Storage::new(self.port.storage())
        }

        #[cfg(feature = "alarms")]
        $crate::alarm::methods::alarm_methods!();
    };
}
pub(crate) use object_methods;
