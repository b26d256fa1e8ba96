//! [`export!`](crate::export).

/// Makes a Worker of an App: the fetch handler, and two Durable Object classes for each of its Groups.
///
/// The App comes first, then its Groups, by their names: those of `App::Groups`. A Group `Lobby` gives the classes
/// `LobbyGroup` and `LobbyReplica`, which `wrangler.toml` binds under the same names.
///
/// ```ignore
/// dog_workers::export!(Chat; Lobby);
/// ```
///
/// What objects find in their [`Env`](dog::Env) are the Worker's bindings, as `dog_workers::worker::Env`, unless a
/// function makes something of them:
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
        #[allow(missing_docs, unreachable_pub, reason = "what the runtime calls")]
        pub mod __dog_workers {
            use super::*;
            // What the macro makes of a struct names its crate so.
            use $crate::internal::wasm_bindgen;
            use $crate::internal::wasm_bindgen::prelude::wasm_bindgen;

            thread_local! {
                static APP: ::std::sync::Arc<$app> = ::std::sync::Arc::new($app);
            }

            // Two of one name would be one class, and one that is missing could not be reached.
            const _: () = $crate::internal::assert_exported(
                <<$app as $crate::internal::App>::Groups as $crate::internal::Groups>::NAMES,
                &[$(<$group as $crate::internal::Group>::NAME),+],
            );

            static WORKER: $crate::internal::Worker = $crate::internal::Worker {
                classes: $crate::internal::classes::<$app, $crate::internal::Host>,
                env: $env,
                exports: $crate::internal::pastey::paste! {
                    &[$($crate::internal::Exports {
                        name: <$group as $crate::internal::Group>::NAME,
                        group: stringify!([<$group Group>]),
                        replica: stringify!([<$group Replica>]),
                    }),+]
                },
            };

            #[wasm_bindgen(start, wasm_bindgen = $crate::internal::wasm_bindgen)]
            pub fn __dog_start() {
                $crate::internal::adopt();
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
        pub struct $class($crate::internal::Object);

        #[wasm_bindgen(wasm_bindgen = $crate::internal::wasm_bindgen)]
        impl $class {
            #[wasm_bindgen(constructor)]
            pub fn new(state: $crate::internal::State, bindings: $crate::internal::JsValue) -> Self {
                let class = <$group as $crate::internal::Group>::NAME;
                Self($crate::internal::Object::new(&WORKER, class, state, bindings))
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
