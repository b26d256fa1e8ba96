//! The macro [`export!`](crate::export).

/// Makes a Worker of an App: the fetch handler, and two Durable Object classes for each of its Groups.
///
/// Name the App first, then its Groups, the same as in `App::Groups`. The compiler checks that they are the same. A Group
/// `Lobby` gets the classes `LobbyGroup` and `LobbyReplica`. `wrangler.toml` binds both under their own names.
///
/// ```ignore
/// dog_workers::export!(Chat; Lobby);
/// ```
///
/// By default, the [`Env`](dog::Env) of objects holds the bindings of the Worker as `dog_workers::worker::Env`. A function of
/// yours can make another `Env` from them:
///
/// ```ignore
/// dog_workers::export!(Chat; Lobby; env = settings);
///
/// fn settings(bindings: &dog_workers::worker::Env) -> dog::Env { … }
/// ```
#[macro_export]
macro_rules! export {
    ($app:ident; $($group:ident),+ $(,)?) => {
        $crate::export!($app; $($group),+; env = $crate::internal::bindings);
    };
    ($app:ident; $($group:ident),+; env = $env:expr) => {
        #[doc(hidden)]
        #[allow(missing_docs, unreachable_pub, reason = "the runtime calls it")]
        pub mod __dog_workers {
            use super::*;
            // The code that `#[wasm_bindgen]` generates names its crate like this.
            use $crate::internal::wasm_bindgen;
            use $crate::internal::wasm_bindgen::prelude::wasm_bindgen;

            thread_local! {
                static APP: ::std::sync::Arc<$app> = ::std::sync::Arc::new($app);
            }

            // Two Groups of one name would share a class, and a missing one could not be reached.
            const _: () = $crate::internal::assert_exported(
                <<$app as $crate::internal::App>::Groups as $crate::internal::Groups>::NAMES,
                &[$(<$group as $crate::internal::Group>::NAME),+],
            );

            static WORKER: $crate::internal::WorkerDefinition = $crate::internal::WorkerDefinition {
                classes: $crate::internal::classes::<$app, $crate::internal::WorkersHost>,
                env: $env,
                exports: $crate::internal::pastey::paste! {
                    &[$($crate::internal::GroupExports {
                        name: <$group as $crate::internal::Group>::NAME,
                        group: stringify!([<$group Group>]),
                        replica: stringify!([<$group Replica>]),
                    }),+]
                },
            };

            #[wasm_bindgen(start, wasm_bindgen = $crate::internal::wasm_bindgen)]
            pub fn __dog_start() {
                $crate::internal::start();
            }

            #[wasm_bindgen(wasm_bindgen = $crate::internal::wasm_bindgen)]
            pub fn fetch(
                request: $crate::internal::Request,
                bindings: $crate::internal::JsValue,
                context: $crate::internal::ExecutionContext,
            ) -> $crate::internal::Promise {
                $crate::internal::answer(&WORKER, APP.with(::std::clone::Clone::clone), request, bindings, context)
            }

            $($crate::internal::pastey::paste! {
                $crate::__class!([<$group Group>], $group);
                $crate::__class!([<$group Replica>], $group);
            })+
        }
    };
}

/// One exported class.
#[doc(hidden)]
#[macro_export]
macro_rules! __class {
    ($class:ident, $group:ident) => {
        #[wasm_bindgen(wasm_bindgen = $crate::internal::wasm_bindgen)]
        pub struct $class($crate::internal::DurableObject);

        #[wasm_bindgen(wasm_bindgen = $crate::internal::wasm_bindgen)]
        impl $class {
            #[wasm_bindgen(constructor)]
            pub fn new(state: $crate::internal::ObjectState, bindings: $crate::internal::JsValue) -> Self {
                let class = <$group as $crate::internal::Group>::NAME;
                Self($crate::internal::DurableObject::new(&WORKER, class, state, bindings))
            }

            pub fn fetch(&self, request: $crate::internal::Request) -> $crate::internal::Promise {
                self.0.fetch(&request)
            }

            #[wasm_bindgen(js_name = dogCall)]
            pub fn dog_call(&self, bundle: $crate::internal::JsValue) -> $crate::internal::JsValue {
                self.0.call(&bundle)
            }

            #[wasm_bindgen(js_name = webSocketMessage)]
            pub fn web_socket_message(
                &self,
                socket: $crate::internal::WebSocket,
                message: $crate::internal::JsValue,
            ) -> $crate::internal::JsValue {
                self.0.message(&socket, &message)
            }

            #[wasm_bindgen(js_name = webSocketClose)]
            pub fn web_socket_close(
                &self,
                socket: $crate::internal::WebSocket,
                code: u16,
                reason: &str,
            ) -> $crate::internal::JsValue {
                self.0.closed(&socket, code, reason)
            }

            #[wasm_bindgen(js_name = webSocketError)]
            pub fn web_socket_error(
                &self,
                socket: $crate::internal::WebSocket,
                error: $crate::internal::JsValue,
            ) -> $crate::internal::JsValue {
                self.0.broken(&socket, &error)
            }

            pub fn alarm(&self) -> $crate::internal::JsValue {
                self.0.alarm()
            }
        }
    };
}
