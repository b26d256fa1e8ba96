//! Values that the program passes in: [`Env`].

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Values that the program passes to its objects: configuration, connection pools, clients of other services; on Workers the
/// bindings.
///
/// It holds one value per type. Clones share the values.
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
    /// An empty `Env`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `value`. It replaces an earlier value of the same type.
    ///
    /// # Panics
    /// If this `Env` has been cloned.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        let values = Arc::get_mut(&mut self.values);
        assert!(values.is_some(), "Env::with was called after the Env was cloned: add all values first");
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
    /// The number of values, not the values: they may be secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Env({} values)", self.values.len())
    }
}
