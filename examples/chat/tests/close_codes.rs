//! The client module's policy is what this library says about close codes.

use std::collections::BTreeMap;

use dog::CloseCode;
use dog_door::{FORBIDDEN, TOKEN_REFUSED};

/// The table in the module: the lines `1012: "retry", // why`.
fn policies() -> BTreeMap<u16, &'static str> {
    let module = include_str!("../../../clients/js/dog.js");
    let (_, table) = module.split_once("CLOSE_POLICY = Object.freeze({").expect("the table");
    let (table, _) = table.split_once("});").expect("its end");
    let entry = |line: &'static str| {
        let (code, policy) = line.trim().split_once(": \"")?;
        Some((code.parse().expect("a code"), policy.split_once('"')?.0))
    };
    table.lines().filter_map(entry).collect()
}

#[test]
fn clients_come_back_exactly_when_the_code_says_so() {
    let policies = policies();
    assert!(policies.len() > 10, "{policies:?}");
    for number in 1000..=4999 {
        let code = CloseCode::from_raw(number);
        let policy = policies.get(&number).copied().unwrap_or("never");
        match policy {
            "retry" | "later" => assert!(code.should_retry(), "{number}"),
            "never" => assert!(!code.should_retry(), "{number}"),
            "renew" => assert_eq!(code, TOKEN_REFUSED),
            other => panic!("{number}: {other}"),
        }
    }
    let policy = |code: CloseCode| policies.get(&code.as_u16()).copied();
    assert_eq!(policy(CloseCode::TRY_AGAIN), Some("later"));
    assert_eq!(policy(TOKEN_REFUSED), Some("renew"));
    assert_eq!(policy(FORBIDDEN), Some("never"));
    for code in [CloseCode::NORMAL, CloseCode::PROTOCOL, CloseCode::UNSUPPORTED, CloseCode::INVALID_TEXT] {
        assert_eq!(policy(code), Some("never"));
    }
    for code in [CloseCode::POLICY, CloseCode::TOO_BIG] {
        assert_eq!(policy(code), Some("never"));
    }
}
