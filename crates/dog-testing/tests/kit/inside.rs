//! The methods that show what objects have in memory and on disk.

use std::time::Duration;

use dog_testing::{MemberState, SeatCount};

use super::app::{HALL, Hall, enter, hall, tell};

#[test]
fn the_members_of_a_group_are_its_replicas_with_their_clients() {
    let cluster = hall(2);
    assert!(cluster.members::<Hall>(HALL).is_none(), "no client has called it yet");
    let [ann, bob, cid] = enter(&cluster, ["ann", "bob", "cid"]);
    let members = cluster.members::<Hall>(HALL).unwrap();
    let counted: Vec<_> = members.iter().map(|member| (member.replica, member.occupied, member.reserved)).collect();
    assert_eq!(counted, [(ann.replica(), 2, 0), (cid.replica(), 1, 0)]);
    let one_socket = SeatCount { seats: 1, sockets: 1 };
    assert_eq!(members[0].clients, [(ann.client().clone(), one_socket), (bob.client().clone(), one_socket)]);
    assert_eq!((cluster.seats(ann.replica()), cluster.seats(cid.replica())), (2, 1));
    let mut replicas = vec![ann.replica(), cid.replica()];
    replicas.sort_unstable();
    assert_eq!(cluster.replicas::<Hall>(HALL), replicas);
    assert!(cluster.replicas::<Hall>("another").is_empty());

    // Its seat is free at once. After a minute without sockets it is parked.
    cid.close();
    cluster.run();
    assert_eq!(cluster.seats(cid.replica()), 0);
    assert_eq!(cluster.members::<Hall>(HALL).unwrap()[1].state, MemberState::Active);
    cluster.advance(Duration::from_secs(70));
    assert_eq!(cluster.members::<Hall>(HALL).unwrap()[1].state, MemberState::Parked);
}

#[test]
fn stored_values_are_on_disk() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    assert_eq!(cluster.stored_by_replica::<String>(ann.replica(), "kept"), None);
    assert_eq!(tell(&cluster, &ann, "put this"), ["kept"]);
    assert_eq!(cluster.stored_by_replica(ann.replica(), "kept"), Some("this".to_owned()));
    assert!(format!("{cluster:?}").contains("2 lives"));
}

#[test]
#[should_panic(expected = "is of another type")]
fn reading_a_stored_value_as_another_type_panics() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    tell(&cluster, &ann, "put this");
    let _ = cluster.stored_by_replica::<u32>(ann.replica(), "kept");
}
