//! Checks of the names of Groups, made while an App is compiled.

/// Whether no name occurs twice.
pub const fn are_distinct(names: &[&str]) -> bool {
    let mut at = 0;
    while at < names.len() {
        if position(names, names[at]) < at {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether `those` contain every name of `these`.
pub const fn are_among(these: &[&str], those: &[&str]) -> bool {
    let mut at = 0;
    while at < these.len() {
        if position(those, these[at]) == those.len() {
            return false;
        }
        at += 1;
    }
    true
}

/// The index of the first occurrence of `name`, or the number of names if there is none.
const fn position(names: &[&str], name: &str) -> usize {
    let mut at = 0;
    while at < names.len() && !are_equal(names[at].as_bytes(), name.as_bytes()) {
        at += 1;
    }
    at
}

/// A comparison that can be used in constants, unlike `==` of slices.
const fn are_equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_there_twice_is_found_wherever_it_is() {
        for (names, distinct) in [
            (&[][..], true),
            (&["room"], true),
            (&["room", "roo", "rooms", "Room"], true),
            (&["room", "room"], false),
            (&["", "room", ""], false),
            (&["a", "b", "c", "d", "b"], false),
        ] {
            assert_eq!(are_distinct(names), distinct, "{names:?}");
        }
    }

    #[test]
    fn names_are_among_others_in_whatever_order() {
        assert!(are_among(&[], &[]) && are_among(&["a", "b"], &["b", "c", "a"]));
        assert!(!are_among(&["a"], &[]) && !are_among(&["a", "d"], &["b", "c", "a"]));
    }
}
