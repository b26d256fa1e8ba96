//! What the user passes in: [`Env`].

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// What your objects find when they wake: pools, configuration, clients of other services; on Workers the bindings.
///
/// One value a type. Cloning shares.
///
/// ```
/// struct Settings { greeting: &'static str }
///
/// let env = dog::Env::new().with(Settings { greeting: "hello" });
/// assert_eq!(env.get::<Settings>().map(|settings| settings.greeting), Some("hello"));
/// ```
#[derive(Clone, Default)]
pub struct Env {
    values: Arc<HashMap<TypeId, Box<dyn Any + Send + Sync>>>,
}

impl Env {
    /// Nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same and `value`, in place of an earlier value of its type.
    ///
    /// # Panics
    /// When this `Env` has been cloned: it is filled before it is handed out.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        let values = Arc::get_mut(&mut self.values);
        assert!(values.is_some(), "fill an Env before it is cloned");
        if let Some(values) = values {
            values.insert(TypeId::of::<T>(), Box::new(value));
        }
        self
    }

    /// The value of type `T`.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>()).and_then(|value| value.downcast_ref())
    }
}

impl fmt::Debug for Env {
    /// How many values; not what they are, for they may be secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Env({} values)", self.values.len())
    }
}
