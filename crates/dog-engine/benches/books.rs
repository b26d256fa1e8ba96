//! How long a Group's decisions take, and that this does not grow with the number of clients and Replicas: `cargo bench -p
//! durable-object-groups-engine`. The test command runs each benchmark once. The goal is 200,000 calls of `identify` per
//! second on one core, which is 5 µs each.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot continue may panic")]

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use dog::{ClientId, Epoch, Limit, Policy, ReplicaId, SocketId, Timestamp};
use dog_engine::address::Ticket;
use dog_engine::books::{Books, Decision};
use dog_engine::seats::Seats;

/// The numbers of clients and Replicas.
const SIZES: [(usize, usize); 4] = [(10, 10), (10_000, 10), (10, 1_000), (10_000, 1_000)];

/// A Group's books and its Replicas' seats. All clients are seated.
struct Cluster {
    books: Books,
    replicas: Vec<Seats>,
    /// The index of each Replica in `replicas`.
    places: HashMap<ReplicaId, usize>,
    clients: Vec<ClientId>,
    next_socket: u64,
    now: Timestamp,
}

impl Cluster {
    /// With room for the same number of clients again.
    fn new(clients: usize, replicas: usize) -> Self {
        let now = Timestamp::from_millis(0);
        let limit = Limit::new(u32::try_from(2 * clients.div_ceil(replicas) + 1).unwrap());
        let mut books = Books::new(Epoch::from_raw(1), limit, Policy::default());
        let names = (0..replicas).map(|number| (ReplicaId::from_name("room", &number.to_string()), number));
        let places: HashMap<ReplicaId, usize> = names.clone().collect();
        let replicas: Vec<Seats> = names.map(|(name, _)| Seats::new(name, Epoch::from_raw(1), limit)).collect();
        for seats in &replicas {
            let census = seats.census();
            books.admit(census.replica, now);
            books.joined(&census, now);
        }
        let clients: Vec<ClientId> = (0..clients).map(|number| ClientId::new(format!("u{number}")).unwrap()).collect();
        let mut cluster = Self { books, replicas, places, clients: clients.clone(), next_socket: 0, now };
        for client in &clients {
            cluster.enter(client);
        }
        cluster
    }

    fn identify(&mut self, client: &ClientId) -> Ticket {
        match self.books.identify(client, None, self.now) {
            Decision::Placed { ticket, .. } => ticket,
            other => panic!("{other:?}"),
        }
    }

    /// A client takes a seat, and the Replica reports it.
    fn enter(&mut self, client: &ClientId) -> (usize, SocketId) {
        let ticket = self.identify(client);
        let replica = self.places[&ticket.replica];
        let socket = SocketId::from_raw(self.next_socket);
        self.next_socket += 1;
        let seats = &mut self.replicas[replica];
        let seat = seats.take(&ticket, self.now).unwrap();
        seats.open(seat, socket).unwrap();
        self.report(replica);
        (replica, socket)
    }

    /// It leaves, and the Replica reports it.
    fn leave(&mut self, (replica, socket): (usize, SocketId)) {
        self.replicas[replica].close(socket).unwrap();
        self.report(replica);
    }

    fn report(&mut self, replica: usize) {
        let seats = &mut self.replicas[replica];
        let report = seats.report().unwrap();
        assert!(self.books.report(&report, self.now));
        seats.acknowledge(report.epoch, report.sequence);
    }
}

/// Calls `act` for one client after another, on clusters of all sizes.
fn at_all_sizes(criterion: &mut Criterion, what: &str, mut act: impl FnMut(&mut Cluster, &ClientId)) {
    let mut group = criterion.benchmark_group(what);
    group.throughput(Throughput::Elements(1));
    for (clients, replicas) in SIZES {
        let mut cluster = Cluster::new(clients, replicas);
        let everyone = cluster.clients.clone();
        let mut next = everyone.iter().cycle();
        group.bench_function(
            BenchmarkId::from_parameter(format!("{clients} clients, {replicas} Replicas")),
            |bencher| {
                bencher.iter(|| act(&mut cluster, next.next().unwrap()));
            },
        );
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    // Known clients return to their Replicas. The ticket is released, so that no Replica fills up.
    at_all_sizes(&mut criterion, "identify, known", |cluster, client| {
        let ticket = cluster.identify(client);
        cluster.books.release(ticket.id, cluster.now);
    });
    let mut number = 0_u64;
    at_all_sizes(&mut criterion, "identify, new", |cluster, _| {
        number += 1;
        let client = ClientId::new(format!("new{}", number % 10_000)).unwrap();
        let ticket = cluster.identify(&client);
        cluster.books.release(ticket.id, cluster.now);
    });
    at_all_sizes(&mut criterion, "locate for a whisper", |cluster, client| {
        assert!(!black_box(cluster.books.locate(client)).is_empty());
    });
    at_all_sizes(&mut criterion, "enter and leave, with both reports", |cluster, client| {
        let place = cluster.enter(client);
        cluster.leave(place);
    });
    // The cost of a page grows with the number of clients: the documentation of `clients` says so, with this figure.
    let cluster = Cluster::new(100_000, 1_000);
    let middle = ClientId::new("u5").unwrap();
    criterion.bench_function("a page of 1,000 of 100,000 clients", |bencher| {
        bencher.iter(|| assert_eq!(black_box(cluster.books.clients_after(Some(&middle), 1_000)).0.len(), 1_000));
    });
    criterion.final_summary();
}
