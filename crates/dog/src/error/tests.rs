use super::*;

#[test]
fn an_error_travels_without_its_cause() {
    let error = Error::caused(Kind::NoRoom, "full", std::io::Error::other("secret"));
    let bytes = crate::codec::encode(&error).unwrap();
    let travelled: Error = crate::codec::decode(&bytes).unwrap();
    assert!(travelled.is_no_room() && travelled.to_string() == "full" && travelled.source().is_none());
}

#[test]
fn a_client_reads_of_its_own_request_and_of_nothing_else() {
    const ALL: [Kind; 21] = [
        Kind::InvalidClient,
        Kind::InvalidId,
        Kind::Encoding,
        Kind::TooLarge,
        Kind::NoRoom,
        Kind::NoTicket,
        Kind::Closed,
        Kind::Deadline,
        Kind::Unreachable,
        Kind::Handler,
        Kind::UnknownGroup,
        Kind::Storage,
        Kind::Conflict,
        Kind::InvalidTopic,
        Kind::ValueTooLarge,
        Kind::TooMany,
        Kind::NotOffered,
        Kind::InvalidName,
        Kind::Assigned,
        Kind::NotFound,
        Kind::InvalidPosition,
    ];
    for kind in ALL {
        let error = Error::new(kind, "the secret");
        let own = [
            Kind::InvalidClient,
            Kind::InvalidId,
            Kind::InvalidTopic,
            Kind::TooLarge,
            Kind::NotOffered,
            Kind::NotFound,
            Kind::InvalidPosition,
        ];
        let about_the_request = own.contains(&kind);
        assert_eq!(error.status().is_client_error(), about_the_request, "{kind:?}");
        assert_eq!(error.public_text().contains("secret"), about_the_request, "{kind:?}");
    }
    let own = crate::socket::encode_attachment(&"x".repeat(crate::MAX_ATTACHMENT)).unwrap_err();
    assert!(own.is_too_large() && own.status() == StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn a_refusal_travels_with_its_status_and_its_text() {
    for status in [400, 401, 429, 499, 500, 503, 599].map(|status| StatusCode::from_u16(status).unwrap()) {
        let failure = Failure::status(status, "not you");
        let bytes = crate::codec::encode(failure.downcast_ref::<Error>().unwrap()).unwrap();
        let travelled: Error = crate::codec::decode(&bytes).unwrap();
        assert!(travelled.is_refused());
        assert_eq!((travelled.status(), travelled.public_text()), (status, "not you"));
        assert_eq!(travelled.to_string(), format!("{status}: not you"));
    }
}

#[test]
fn only_an_error_can_be_the_status_of_a_refusal() {
    for status in [100, 200, 302, 600, 999].map(|status| StatusCode::from_u16(status).unwrap()) {
        let failure = Failure::status(status, "the secret");
        assert!(failure.downcast_ref::<Error>().is_none() && failure.to_string().contains("the secret"), "{status}");
    }
    let long = Failure::status(StatusCode::BAD_REQUEST, "ä".repeat(MAX_REFUSAL));
    assert_eq!(long.downcast_ref::<Error>().unwrap().public_text().len(), MAX_REFUSAL);
}

#[test]
fn a_failure_tells_the_whole_chain() {
    let inner = std::io::Error::other("disk on fire");
    let failure = Failure::from(Error::caused(Kind::Unreachable, "the Replica did not answer", inner));
    assert_eq!(failure.to_string(), "the Replica did not answer: disk on fire");
    assert!(failure.downcast_ref::<Error>().is_some_and(Error::is_unreachable));
}
