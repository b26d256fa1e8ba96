//! A Group that does not exist: verbs reach nobody there, and store nothing.

use dog::{ClientId, GroupId};
use dog_conformance::{Client, get};

use crate::workerd::{Disk, Workerd};

#[tokio::test]
async fn verbs_to_a_group_that_does_not_exist_store_no_row() {
    let disk = Disk::new();
    let workerd = Workerd::start(&disk, &[]);
    let entry = workerd.address();
    // The first row of an object is its name, which is the id of a Group.
    let name = GroupId::from_name("pair", "nobody").to_string();
    for verb in ["count", "clients", "confirmed&text=a", "whisper&client=a&text=a", "disconnect&client=a"] {
        let response = get(entry, &format!("/pair/nobody/verb?verb={verb}")).await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200, "{verb}");
    }
    for verb in ["broadcast&text=a", "broadcast_to&topic=t&text=a"] {
        let response = get(entry, &format!("/pair/nobody/verb?verb={verb}")).await.expect("an answer");
        assert_eq!(&response.body()[..], b"sent", "{verb}");
    }
    // Casts arrive in their order, before this answer.
    let count = get(entry, "/pair/nobody/verb?verb=count").await.expect("an answer");
    assert_eq!(&count.body()[..], b"0 clients, 0 sockets, 0 missing");
    assert!(!disk.contains(&name), "a Group that does not exist has stored something");
    // One that exists is found in this way.
    let ann = ClientId::new("ann").expect("valid");
    let _ann = Client::connect(entry, "/pair/nobody/ws?u=ann", ann).await.expect("a socket");
    assert!(disk.contains(&name), "the Group has stored its name");
}
