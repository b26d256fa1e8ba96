//! New certificates while sockets are open.

use std::sync::Arc;

use dog_test_support::certificates::replace;
use dog_test_support::client::within;
use dog_test_support::tls::{self, BOTH, NAME};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::common::{next, say};
use crate::kit::{Encrypted, start};

/// Returns the certificate that a new client is shown.
async fn shown(server: &Encrypted, config: &Arc<ClientConfig>) -> CertificateDer<'static> {
    tls::certificate(&tls::connect(config, server.address()).await.unwrap())
}

#[tokio::test]
async fn open_sockets_stay_and_new_clients_get_the_new_certificate() {
    let server = start(|server| server).await;
    let config = tls::forgetful(server.trusting(BOTH));
    let (mut open, _) = server.enter(&config, "a", "r").await;
    let before = shown(&server, &config).await;
    let [certificate, key] = &server.files;
    assert_eq!(before, CertificateDer::from_pem_file(certificate).unwrap());
    let (text, new_key) = server.authority.certificate(NAME, false);
    replace(certificate, &text);
    // The key does not belong to the new certificate yet.
    let error = server.running.reload_tls().unwrap_err();
    assert!(error.is_tls() && error.to_string().contains("does not belong to"), "{error}");
    assert_eq!(shown(&server, &config).await, before);
    replace(key, &new_key);
    server.running.reload_tls().unwrap();
    let after = shown(&server, &config).await;
    assert_eq!(after, CertificateDer::from_pem_slice(text.as_bytes()).unwrap());
    assert_ne!(after, before);
    say(&mut open, "still here").await;
    assert_eq!(next(&mut open).await.into_text().unwrap().as_str(), "still here");
    server.counts("dog_tls_reloads_total{result=\"ok\"}", 1.0).await;
    server.counts("dog_tls_reloads_total{result=\"failed\"}", 1.0).await;
    server.running.shutdown().await;
}

#[tokio::test]
async fn files_that_change_are_loaded_by_themselves() {
    let server = start(|server| server).await;
    let config = tls::forgetful(server.trusting(BOTH));
    let [certificate, key] = &server.files;
    // Those that cannot be used are noticed and tried once.
    replace(certificate, "nothing of use");
    server.counts("dog_tls_reloads_total{result=\"failed\"}", 1.0).await;
    let (text, new_key) = server.authority.certificate(NAME, false);
    replace(certificate, &text);
    replace(key, &new_key);
    let wanted = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
    within("the new certificate", async { while shown(&server, &config).await != wanted {} }).await;
    let metrics = server.metrics().await;
    assert_eq!(metrics["dog_tls_reloads_total{result=\"failed\"}"], 1.0);
    assert_eq!(metrics["dog_tls_reloads_total{result=\"ok\"}"], 1.0);
    server.running.shutdown().await;
}

#[tokio::test]
async fn when_the_certificate_expires_is_a_metric() {
    let server = start(|server| server).await;
    let [certificate, key] = &server.files;
    let (text, new_key) = server.authority.certificate(NAME, true);
    replace(certificate, &text);
    replace(key, &new_key);
    // It is a warning in the log and no error: an operator who needs the server at once gets it.
    server.running.reload_tls().unwrap();
    // The first of January 2001.
    server.counts("dog_tls_certificate_expires_at", 978_307_200.0).await;
    server.running.shutdown().await;
}
