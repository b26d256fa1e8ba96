//! How messages stand in JSON where serde alone would do something else: payloads, and what is left out.

/// Whether a field can be left out.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A payload is the JSON value itself, not a string or a list of numbers.
pub(super) mod payload {
    use bytes::Bytes;
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::{Error, Serialize, Serializer};
    use serde_json::value::RawValue;

    /// Writes a payload, which other clients may have published as any bytes.
    pub(in super::super) fn serialize<S: Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        // A line ends a message. Within strings, line feeds are escaped, so these only separate tokens.
        if payload.contains(&b'\n') {
            let line: Vec<u8> = payload.iter().copied().filter(|byte| *byte != b'\n').collect();
            return raw(&line, serializer);
        }
        raw(payload, serializer)
    }

    fn raw<S: Serializer>(json: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_slice(json).map_err(S::Error::custom)?;
        value.serialize(serializer)
    }

    /// Reads a payload, without reading what is in it.
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Bytes::from(String::from(Box::<str>::from(value)).into_bytes()))
    }
}
