//! Seats, tickets and reports, case by case.

use super::*;

fn ticket(number: u64, client: &str) -> Ticket {
    Ticket {
        id: crate::address::TicketId { epoch: Epoch::from_raw(1), number },
        replica: ReplicaId::from_name("room", "a"),
        client: ClientId::new(client).unwrap(),
        expires: Timestamp::from_millis(100),
        newcomer: true,
    }
}

fn seats(limit: u32) -> Seats {
    Seats::new(ReplicaId::from_name("room", "a"), Epoch::from_raw(1), Limit::new(limit))
}

const NOW: Timestamp = Timestamp::from_millis(50);

#[test]
fn a_ticket_is_valid_once_in_its_time_and_on_its_replica() {
    let mut seats = seats(9);
    seats.take(&ticket(1, "ann"), NOW).unwrap();
    assert_eq!(seats.take(&ticket(1, "ann"), NOW), Err(Refusal::Used));
    assert_eq!(seats.take(&ticket(2, "ann"), Timestamp::from_millis(100)), Err(Refusal::Expired));
    let elsewhere = Ticket { replica: ReplicaId::from_name("room", "b"), ..ticket(3, "ann") };
    assert_eq!(seats.take(&elsewhere, NOW), Err(Refusal::Misdirected));
    assert_eq!(seats.occupied(), 1);
}

#[test]
fn never_more_than_the_limit() {
    let mut seats = seats(2);
    let first = seats.take(&ticket(1, "ann"), NOW).unwrap();
    seats.open(first, SocketId::from_raw(7)).unwrap();
    seats.take(&ticket(2, "bob"), NOW).unwrap();
    assert_eq!(seats.take(&ticket(3, "cid"), NOW), Err(Refusal::Full));
    assert_eq!(seats.close(SocketId::from_raw(7)), Some(ClientId::new("ann").unwrap()));
    assert!(seats.take(&ticket(3, "cid"), NOW).is_ok());
}

#[test]
fn a_closed_door_lets_in_whom_the_group_remembers_and_whoever_is_here() {
    let mut seats = seats(9);
    seats.take(&ticket(1, "ann"), NOW).unwrap();
    assert!(!seats.set_door(Door::Open), "it was open");
    let reported = seats.report().unwrap();
    seats.acknowledge(reported.epoch, reported.sequence);
    assert!(seats.set_door(Door::Closed) && !seats.set_door(Door::Closed));
    assert_eq!(seats.report().map(|report| report.door), Some(Door::Closed), "it is reported");
    assert_eq!(seats.take(&ticket(2, "bob"), NOW), Err(Refusal::Closed));
    assert!(seats.take(&Ticket { newcomer: false, ..ticket(3, "cid") }, NOW).is_ok(), "remembered");
    assert!(seats.take(&ticket(4, "ann"), NOW).is_ok(), "she is here");
    assert!(seats.set_door(Door::Open));
    assert!(seats.take(&ticket(2, "bob"), NOW).is_ok(), "a refused ticket was not used");
}

#[test]
fn closing_twice_or_releasing_twice_changes_nothing() {
    let mut seats = seats(2);
    let seat = seats.take(&ticket(1, "ann"), NOW).unwrap();
    seats.open(seat, SocketId::from_raw(1)).unwrap();
    assert!(!seats.release(seat), "the socket has the seat now");
    assert!(seats.close(SocketId::from_raw(1)).is_some());
    let sequence = seats.census().sequence;
    assert!(seats.close(SocketId::from_raw(1)).is_none());
    assert_eq!((seats.occupied(), seats.census().sequence), (0, sequence));
}

#[test]
fn a_socket_that_is_assigned_keeps_its_seat_under_another_client() {
    let mut seats = seats(2);
    let (ann, stranger) = (ClientId::new("ann").unwrap(), ClientId::new("stranger").unwrap());
    for (number, client) in [(1, "stranger"), (2, "ann")] {
        let seat = seats.take(&ticket(number, client), NOW).unwrap();
        seats.open(seat, SocketId::from_raw(number)).unwrap();
    }
    let before = seats.report().unwrap();
    seats.acknowledge(before.epoch, before.sequence);
    let (changes, occupied) = (seats.audience().changes, seats.occupied());
    let change = seats.assign(SocketId::from_raw(1), &ann).unwrap();
    assert_eq!((seats.audience().changes, seats.occupied()), (changes, occupied), "the same sockets are open");
    assert_eq!(seats.client(SocketId::from_raw(1)), Some(&ann));
    assert_eq!((seats.sockets_of(&ann).len(), seats.sockets_of(&stranger).len()), (2, 0));
    let report = seats.report().unwrap();
    let mut clients: Vec<_> = report.clients.iter().map(|(client, _)| client.as_str()).collect();
    clients.sort_unstable();
    assert_eq!(clients, ["ann", "stranger"], "one has more, the other none");
    assert!(!seats.is_acknowledged(change));
    seats.acknowledge(report.epoch, report.sequence);
    assert!(seats.is_acknowledged(change));
    assert_eq!(seats.close(SocketId::from_raw(1)), Some(ann.clone()));
    assert_eq!(seats.assign(SocketId::from_raw(1), &ann), None, "it has ended");
}

#[test]
fn a_report_repeats_what_was_not_acknowledged() {
    let mut seats = seats(9);
    let ann = seats.take(&ticket(1, "ann"), NOW).unwrap();
    let first = seats.report().unwrap();
    seats.take(&ticket(2, "bob"), NOW).unwrap();
    seats.acknowledge(first.epoch, first.sequence);
    let second = seats.report().unwrap();
    assert_eq!(second.clients, [(ClientId::new("bob").unwrap(), SeatCount { seats: 1, sockets: 0 })]);
    assert_eq!(second.taken.len(), 1);
    seats.release(ann);
    let third = seats.report().unwrap();
    assert_eq!(third.clients.len(), 2, "bob was not acknowledged, and ann has left");
    seats.acknowledge(third.epoch, third.sequence);
    assert_eq!(seats.report(), None);
}

#[test]
fn a_socket_that_opens_is_reported_although_it_takes_no_further_seat() {
    let mut seats = seats(9);
    let seat = seats.take(&ticket(1, "ann"), NOW).unwrap();
    let first = seats.report().unwrap();
    seats.open(seat, SocketId::from_raw(1)).unwrap();
    seats.acknowledge(first.epoch, first.sequence);
    let second = seats.report().unwrap();
    assert_eq!(second.clients, [(ClientId::new("ann").unwrap(), SeatCount { seats: 1, sockets: 1 })]);
    assert_eq!((first.occupied, second.occupied), (1, 1));
    assert_eq!(seats.census().clients, second.clients);
}

#[test]
fn sockets_stay_dense_whichever_closes() {
    let mut seats = seats(9);
    for number in 0..5 {
        let seat = seats.take(&ticket(number, "ann"), NOW).unwrap();
        seats.open(seat, SocketId::from_raw(number)).unwrap();
    }
    for (closing, left) in [(0, vec![1, 2, 3, 4]), (4, vec![1, 2, 3]), (2, vec![1, 3])] {
        seats.close(SocketId::from_raw(closing));
        let mut open: Vec<u64> = seats.sockets().iter().map(|socket| socket.raw()).collect();
        open.sort_unstable();
        assert_eq!(open, left);
        let mut hers: Vec<u64> = seats.sockets_of(&ClientId::new("ann").unwrap()).iter().map(|s| s.raw()).collect();
        hers.sort_unstable();
        assert_eq!(hers, left);
    }
}
