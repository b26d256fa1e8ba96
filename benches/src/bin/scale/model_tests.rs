//! The model's arithmetic, on inputs so round that it can be done by hand.

use crate::inputs::Inputs;
use crate::model::{Cluster, Load, Model, Rooms};
use crate::scenarios::{SCENARIOS, room_to_grow, scaled};

/// Every cost 1 µs, every size 100 bytes.
const ROUND: Inputs = Inputs {
    identify: 1.0,
    report: 1.0,
    locate: 1.0,
    admit: 0.01,
    wake: 1.0,
    client_bytes: 100.0,
    write: 1.0,
    read: 1.0,
    visit_bytes: 100.0,
    broadcast_bytes: 200.0,
    replica_bytes: 32.0,
    member_write: 0.01,
    member_read: 0.01,
    member_bytes: 32.0,
    letter_server: 1.0,
    letter_sender: 1.0,
    letter_receiver: 1.0,
    look_server: 10.0,
    looks: 10_000.0,
    put_server: 10.0,
    puts: 10_000.0,
    follow_server: 10.0,
    follow_receiver: 1.0,
    ..Inputs::assumed()
};

fn rooms(rooms: f64, size: f64, limit: f64, balanced_over: f64) -> Rooms {
    Rooms { rooms, size, limit, broadcasts: 1.0, balanced_over }
}

fn of(cluster: &Cluster) -> Model<'_> {
    Model { inputs: &ROUND, cluster }
}

fn load(loads: &[Load], resource: &str) -> f64 {
    loads.iter().find(|load| load.resource == resource).unwrap_or_else(|| panic!("no {resource}")).used
}

fn near(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-6 * expected.abs().max(1e-3), "{value}, and not {expected}");
}

#[test]
fn a_room_has_a_replica_on_each_node_at_least() {
    // On one node, as few as will do; over ten times as many nodes as sockets, nearly one for each socket.
    near(rooms(1.0, 101.0, 50.0, 1.0).replicas(), 3.0);
    assert!((47.0..50.0).contains(&rooms(1.0, 50.0, 50.0, 500.0).replicas()));
    near(rooms(1.0, 1e6, 50.0, 1_000.0).replicas(), 20_000.0);
    near(rooms(1.0, 1e6, 10_000.0, 1_000.0).replicas(), 1_000.0);
}

/// What the books themselves do of the same: fifty clients of one room, each of whom has reached another node.
#[test]
fn the_books_give_each_node_a_replica_of_its_own() {
    use dog::{ClientId, Epoch, Limit, Policy, ReplicaId, Timestamp};
    use dog_engine::address::NodeId;
    use dog_engine::books::{Books, Placement};

    let (now, room) = (Timestamp::from_millis(1), rooms(1.0, 50.0, 50.0, 1e9));
    let mut books = Books::new(Epoch::from_raw(1), Limit::new(50), Policy::default());
    for number in 0..50_u64 {
        let (client, near) = (ClientId::new(number.to_string()).unwrap(), NodeId::from_raw(number + 1));
        if books.identify_near(&client, None, near, now) == Placement::Grow {
            books.admit_at(ReplicaId::from_name("room", &number.to_string()), near, now);
        }
        assert!(matches!(books.identify_near(&client, None, near, now), Placement::Placed { .. }));
    }
    near(f64::from(u32::try_from(books.totals().members).unwrap()), room.replicas().round());
}

#[test]
fn a_broadcast_is_a_letter_a_node_with_the_ids_of_its_replicas() {
    let cluster = Cluster { nodes: 100.0, kinds: vec![rooms(1.0, 1e6, 50.0, 100.0)] };
    let broadcast = of(&cluster).broadcast(&cluster.kinds[0]);
    near(broadcast.letters, 99.0);
    near(broadcast.bytes, 99.0 * (200.0 + 200.0 * 32.0));
}

#[test]
fn a_room_on_one_node_sends_no_letters() {
    let cluster = Cluster { nodes: 100.0, kinds: vec![rooms(200_000.0, 50.0, 50.0, 1.0)] };
    let letters = of(&cluster).letters();
    assert_eq!((letters.letters, letters.bytes), (0.0, 0.0));
}

#[test]
fn each_renewal_is_told_to_each_node() {
    // A thousand nodes renew every five seconds: 200 a second, each to a thousand.
    let cluster = Cluster { nodes: 1_000.0, kinds: vec![] };
    near(of(&cluster).renewals(), 200_000.0);
    near(load(&of(&cluster).at_rest(), "NATS: renewals alone"), 2.0);
}

#[test]
fn members_are_asked_with_a_view_each_so_that_costs_grow_with_their_square() {
    let bytes = |size: f64| {
        let cluster = Cluster { nodes: 100.0, kinds: vec![rooms(1.0, size, 10.0, 100.0)] };
        load(&of(&cluster).at_rest(), "the network of its node")
    };
    // 10,000 Replicas, 99 in a hundred of them elsewhere, each asked every 30 s and each answering.
    near(bytes(1e5), 10_000.0 * 0.99 * (100.0 + 320_000.0 + 100.0) / 30.0);
    assert!((99.0..101.0).contains(&(bytes(1e6) / bytes(1e5))));
}

#[test]
fn a_dead_node_s_clients_come_back_within_ten_seconds() {
    let cluster = Cluster { nodes: 100.0, kinds: vec![rooms(1.0, 1e6, 10_000.0, 100.0)] };
    // A visit: placed, reported, and each a letter read and one written: 6 µs. 10,000 clients in 10 s.
    near(of(&cluster).visit(), 6.0);
    near(load(&of(&cluster).node_dies(), "the thread of the largest Group"), 1_000.0 * 6.0 / 1e6);
    let looks = of(&cluster).looks_for_dead();
    // Of a hundred Replicas and one Group, a hundredth; ten nodes speak to the Replica meanwhile.
    near(looks.claims, 1.01);
    near(looks.reads, 3.0 * 1.01 + 2.0 * 10.0);
}

#[test]
fn a_room_fills_by_its_group_s_thread_and_the_last_round_has_all_views() {
    let cluster = Cluster { nodes: 100.0, kinds: vec![rooms(1.0, 1e6, 100.0, 100.0)] };
    let fill = of(&cluster).fill().unwrap();
    near(fill.replicas, 10_000.0);
    near(fill.seconds, 6.0);
    near(fill.admits, 0.5);
    near(fill.round_bytes, 10_000.0 * (100.0 + 320_000.0) * 0.99);
    near(fill.known_by_all, 10_000.0 * 99.0 / 10_000.0);
}

#[test]
fn each_alarm_is_told_to_all_nodes_twice() {
    // 48 processors; a thousand Replicas; 2 × 100 nodes × 10 µs an alarm: 24 a second for each Replica.
    let cluster = Cluster { nodes: 100.0, kinds: vec![rooms(1_000.0, 50.0, 50.0, 1.0)] };
    near(of(&cluster).alarms_an_hour(), 24.0 * 3_600.0);
}

#[test]
fn what_saturates_first_is_what_is_nearest_to_its_limit() {
    for scenario in &SCENARIOS {
        let cluster = scenario.on(1_000.0);
        let loads = of(&cluster).first();
        assert!(loads.windows(2).all(|pair| pair[0].utilisation() >= pair[1].utilisation()), "{}", scenario.name);
        let factor = room_to_grow(&ROUND, &cluster);
        // What is full may jump: one socket more, and each node has a Replica more.
        let fullest = |factor: f64| of(&scaled(&cluster, factor)).first()[0].utilisation();
        assert!(fullest(factor) <= 1.0 && fullest(1.01 * factor) > 1.0, "{}: {factor}", scenario.name);
    }
}
