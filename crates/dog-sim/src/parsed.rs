//! A message of the simulated App, parsed: [`Parsed`].

use dog::Message;

use crate::moment::MessageName;

/// A message of the simulated App, parsed.
pub(crate) struct Parsed<'a> {
    pub(crate) kind: char,
    pub(crate) name: MessageName,
    /// The client that it excludes or addresses.
    pub(crate) about: &'a str,
    pub(crate) topic: Option<&'a str>,
}

pub(crate) fn parse(message: &Message) -> Option<Parsed<'_>> {
    let mut words = message.as_text()?.split(' ');
    let kind = words.next().filter(|kind| kind.len() == 1)?.chars().next()?;
    let name = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Parsed { kind, name, about: words.next().unwrap_or_default(), topic: words.next() })
}

/// The number in the message of a publication.
pub(crate) fn number(message: &Message) -> Option<u64> {
    parse(message).filter(|parsed| parsed.kind == 'p').map(|parsed| parsed.name.1)
}
