//! The places of Replicas. workerd does not support jurisdictions, so a Replica that needs one must not be created.

use dog::ClientId;
use dog_conformance::app::protocol::{BOUND_THERE, FAR, PLACED};
use dog_conformance::{Client, Outcome};

use crate::workerd::{Disk, Workerd};

#[tokio::test]
async fn no_replica_is_made_outside_its_jurisdiction() {
    let disk = Disk::new();
    let workerd = Workerd::start(&disk, &[]);
    let join = async |client: String| -> Outcome<Client> {
        let path = format!("/named/places/ws?u={client}");
        Client::connect(workerd.address(), &path, ClientId::new(client)?).await
    };
    let refused = join(format!("{BOUND_THERE}a")).await.err().expect("a Replica within the European Union");
    assert!(refused.to_string().contains("503"), "{refused}");
    // A region is only a preference, so the Replica is created anyway.
    let far = join(format!("{PLACED}a")).await.expect("a Replica near a region");
    assert_eq!(far.replica().place(), Some(FAR));
}
