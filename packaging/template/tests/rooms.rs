//! Tests of the rooms, in one thread on a virtual clock.

use dog_testing::Cluster;
use {{crate_name}}::Rooms;

#[test]
fn everybody_in_a_room_reads_a_message_and_nobody_else() {
    let cluster = Cluster::new(Rooms);
    let [ann, bob] = ["ann", "bob"].map(|name| cluster.connect(&format!("/ws/kitchen?u={name}")));
    let cid = cluster.connect("/ws/garden?u=cid");
    ann.send("hello");
    cluster.run();
    for socket in [&ann, &bob] {
        assert_eq!(socket.received_texts(), ["hello"]);
    }
    assert!(cid.received_texts().is_empty());
}
