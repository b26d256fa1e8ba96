//! Stubs of other objects: [`Stubs`]. An object is found by its name, in the namespace of its class.

use std::cell::RefCell;
use std::collections::HashMap;

use dog::internal::Kind;
use dog::{Error, Jurisdiction, Place, Region};
use dog_engine::address::Object;
use js_sys::{Object as JsObject, Reflect};
use wasm_bindgen::{JsCast, JsValue};

use crate::names;
use crate::platform::{Namespace, Stub, error_text};

/// A variable of the Worker. If it is set, the jurisdiction of a Replica is ignored where the runtime supports none. This is
/// for local development only.
const WITHOUT_JURISDICTIONS: &str = "DOG_WITHOUT_JURISDICTIONS";

/// The exported classes of one Group. Their bindings have the same names.
pub struct GroupExports {
    /// [`Group::NAME`](dog::Group::NAME)
    pub name: &'static str,
    /// The class of its Group objects.
    pub group: &'static str,
    /// The class of its Replicas.
    pub replica: &'static str,
}

/// The stubs of other objects. All calls to one object use the same stub, because the runtime keeps their order only then.
pub(crate) struct Stubs {
    bindings: JsValue,
    /// The exported classes of each Group, in the order of `App::Groups`.
    exports: Vec<Option<&'static GroupExports>>,
    known: RefCell<HashMap<Object, Stub>>,
}

impl Stubs {
    /// `groups` are the names of the App's Groups, in the order of `App::Groups`.
    pub(crate) fn new(
        bindings: JsValue,
        groups: impl Iterator<Item = &'static str>,
        exports: &'static [GroupExports],
    ) -> Self {
        let exports = groups.map(|name| exports.iter().find(|exports| exports.name == name)).collect();
        Self { bindings, exports, known: RefCell::default() }
    }

    /// The stub of an object.
    pub(crate) fn get(&self, object: Object) -> Result<Stub, Error> {
        if let Some(stub) = self.known.borrow().get(&object) {
            return Ok(stub.clone());
        }
        let exports = self.exports.get(usize::from(object.group().class.0)).copied().flatten();
        let exports =
            exports.ok_or_else(|| Error::new(Kind::UnknownGroup, "this Worker does not export that Group"))?;
        let stub = self.new_stub(object, exports)?;
        self.known.borrow_mut().insert(object, stub.clone());
        Ok(stub)
    }

    /// Drops a stub. After a failed call, the runtime requires a new one.
    pub(crate) fn forget(&self, object: Object) {
        self.known.borrow_mut().remove(&object);
    }

    /// Number of stubs that are kept.
    pub(crate) fn len(&self) -> usize {
        self.known.borrow().len()
    }

    fn new_stub(&self, object: Object, exports: &GroupExports) -> Result<Stub, Error> {
        let (binding, place) = match object {
            Object::Group(_) => (exports.group, None),
            Object::Replica(address) => (exports.replica, address.replica.place()),
        };
        let namespace = Reflect::get(&self.bindings, &binding.into()).unwrap_or_default();
        if namespace.is_undefined() {
            let text = format!("the binding {binding} is missing: see durable_objects in wrangler.toml");
            return Err(Error::new(Kind::Unreachable, text));
        }
        let namespace = self.within(namespace.unchecked_into(), place)?;
        let stub = namespace.id_from_name(&names::name(&object)).and_then(|id| match place {
            Some(Place::Near(region)) => namespace.object_near(&id, &hint(region)?),
            Some(_) | None => namespace.object(&id),
        });
        stub.map_err(|thrown| Error::new(Kind::Unreachable, error_text(&thrown)))
    }

    /// The part of a namespace that lies within a jurisdiction.
    fn within(&self, namespace: Namespace, place: Option<Place>) -> Result<Namespace, Error> {
        let Some(Place::Within(jurisdiction)) = place else { return Ok(namespace) };
        let name = jurisdiction_name(jurisdiction).ok_or_else(|| unknown("jurisdiction"))?;
        match namespace.jurisdiction(name) {
            Ok(part) => Ok(part),
            Err(_) if Reflect::has(&self.bindings, &WITHOUT_JURISDICTIONS.into()).unwrap_or(false) => Ok(namespace),
            Err(thrown) => {
                let text = format!("no Replica can be created within the jurisdiction {name} here; the log says why");
                let why = error_text(&thrown);
                tracing::error!("{text}: {why} (for local development, set the variable {WITHOUT_JURISDICTIONS})");
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

/// The name that the runtime uses.
fn jurisdiction_name(jurisdiction: Jurisdiction) -> Option<&'static str> {
    match jurisdiction {
        Jurisdiction::EuropeanUnion => Some("eu"),
        Jurisdiction::UnitedStates => Some("us"),
        Jurisdiction::FedRamp => Some("fedramp"),
        _ => None,
    }
}

/// The name that the runtime uses.
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
