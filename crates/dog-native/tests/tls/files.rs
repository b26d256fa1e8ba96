//! Files that cannot be used: the server does not start, and says what to do.

use std::fs;
use std::path::Path;

use dog_native::Server;
use dog_test_support::certificates::Authority;
use dog_test_support::tls::NAME;

use crate::common::Test;

async fn refused(certificates: &Path, key: &Path, says: &str) {
    let server = Server::new(Test).bind("127.0.0.1:0").workers(1).tls(certificates, key);
    let error = server.start().await.expect_err(says);
    assert!(error.is_tls(), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("tls: ") && text.contains(says) && text.lines().count() == 1, "{text}");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let authority = Authority::new();
    let [certificate, key] = &authority.vouches_for(NAME);
    let [_, other_key] = &authority.vouches_for("other");
    let file = |name: &str, text: &str| {
        let path = authority.folder().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let missing = authority.folder().join("missing.pem");
    let noise = file("noise.pem", "nothing of use");
    let broken = file("broken.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    let locked =
        file("locked.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let odd = file("odd.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let large = file("large.pem", &" ".repeat((1 << 20) + 1));
    refused(&missing, key, "missing.pem cannot be read").await;
    refused(certificate, &missing, "missing.pem cannot be read").await;
    refused(&noise, key, "noise.pem contains no certificate").await;
    refused(key, key, "contains no certificate").await;
    refused(&broken, key, "broken.pem is no valid PEM file").await;
    refused(&large, key, "more than 1 MiB").await;
    refused(certificate, &noise, "noise.pem contains no private key").await;
    refused(certificate, certificate, "contains no private key").await;
    refused(certificate, &locked, "locked.pem has a password").await;
    refused(certificate, &odd, "odd.pem cannot be used").await;
    refused(certificate, other_key, "does not belong to the first certificate").await;
}

#[tokio::test]
async fn a_service_takes_no_certificates() {
    let error = Server::new(Test).tls("a", "b").service().unwrap_err();
    assert!(error.is_configuration() && error.to_string().starts_with("tls: "), "{error}");
}
