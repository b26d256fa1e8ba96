//! Ways to other objects: [`Stubs`]. An object is found by its name, in the namespace of its class, in its place.

use std::cell::RefCell;
use std::collections::HashMap;

use dog::internal::Kind;
use dog::{Error, Jurisdiction, Place, Region};
use dog_engine::address::Object;
use js_sys::{Object as JsObject, Reflect};
use wasm_bindgen::{JsCast, JsValue};

use crate::host::Exports;
use crate::letters;
use crate::platform::{Namespace, Stub, words};

/// A variable of the Worker. If it is there, objects are made where the runtime likes though they should be within a
/// jurisdiction: for one's own machine, whose runtime knows of none.
const WITHOUT_JURISDICTIONS: &str = "DOG_WITHOUT_JURISDICTIONS";

/// The ways that are known. One for all calls to an object, since the runtime keeps the order of those alone.
pub(crate) struct Stubs {
    bindings: JsValue,
    known: RefCell<HashMap<Object, Stub>>,
}

impl Stubs {
    pub(crate) fn new(bindings: JsValue) -> Self {
        Self { bindings, known: RefCell::default() }
    }

    /// The way to an object of this class.
    pub(crate) fn get(&self, object: Object, class: &Exports) -> Result<Stub, Error> {
        if let Some(stub) = self.known.borrow().get(&object) {
            return Ok(stub.clone());
        }
        let stub = self.new_stub(object, class)?;
        self.known.borrow_mut().insert(object, stub.clone());
        Ok(stub)
    }

    /// One by which a call has failed is of no use any more.
    pub(crate) fn forget(&self, object: Object) {
        self.known.borrow_mut().remove(&object);
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.known.borrow().len()
    }

    fn new_stub(&self, object: Object, class: &Exports) -> Result<Stub, Error> {
        let (binding, place) = match object {
            Object::Group(_) => (class.group, None),
            Object::Replica(address) => (class.replica, address.replica.place()),
        };
        let namespace = Reflect::get(&self.bindings, &binding.into()).unwrap_or_default();
        if namespace.is_undefined() {
            let text = format!("the binding {binding} is missing: see durable_objects in wrangler.toml");
            return Err(Error::new(Kind::Unreachable, text));
        }
        let namespace = self.within(namespace.unchecked_into(), place)?;
        let stub = namespace.id_from_name(&letters::name(&object)).and_then(|id| match place {
            Some(Place::Near(region)) => namespace.object_near(&id, &hint(region)?),
            Some(_) | None => namespace.object(&id),
        });
        stub.map_err(|thrown| Error::new(Kind::Unreachable, words(&thrown)))
    }

    /// That part of a namespace that lies within a jurisdiction.
    fn within(&self, namespace: Namespace, place: Option<Place>) -> Result<Namespace, Error> {
        let Some(Place::Within(jurisdiction)) = place else { return Ok(namespace) };
        let name = jurisdiction_name(jurisdiction).ok_or_else(|| unknown("jurisdiction"))?;
        match namespace.jurisdiction(name) {
            Ok(part) => Ok(part),
            Err(_) if Reflect::has(&self.bindings, &WITHOUT_JURISDICTIONS.into()).unwrap_or(false) => Ok(namespace),
            Err(thrown) => {
                let text = format!("no Replica can be made within the jurisdiction {name} here; the log says why");
                let why = words(&thrown);
                tracing::error!("{text}: {why} (for one's own machine there is {WITHOUT_JURISDICTIONS})");
                Err(Error::caused(Kind::Unreachable, text, why))
            }
        }
    }
}

fn unknown(what: &str) -> Error {
    Error::new(Kind::Unreachable, format!("this release of dog-workers does not know that {what}"))
}

fn hint(region: Region) -> Result<JsObject, JsValue> {
    let options = JsObject::new();
    let name = region_name(region).ok_or_else(|| js_sys::Error::new("an unknown region"))?;
    Reflect::set(&options, &"locationHint".into(), &name.into())?;
    Ok(options)
}

/// As the runtime calls it.
fn jurisdiction_name(jurisdiction: Jurisdiction) -> Option<&'static str> {
    match jurisdiction {
        Jurisdiction::EuropeanUnion => Some("eu"),
        Jurisdiction::UnitedStates => Some("us"),
        Jurisdiction::FedRamp => Some("fedramp"),
        _ => None,
    }
}

/// As the runtime calls it.
fn region_name(region: Region) -> Option<&'static str> {
    match region {
        Region::WesternNorthAmerica => Some("wnam"),
        Region::EasternNorthAmerica => Some("enam"),
        Region::SouthAmerica => Some("sam"),
        Region::WesternEurope => Some("weur"),
        Region::EasternEurope => Some("eeur"),
        Region::AsiaPacific => Some("apac"),
        Region::Oceania => Some("oc"),
        Region::Africa => Some("afr"),
        Region::MiddleEast => Some("me"),
        _ => None,
    }
}
