//! A delivery takes no memory: the allocations per message do not grow with the number of its receivers.

use dog_native::Server;
use stats_alloc::Region;
use tokio::runtime::Builder;

use crate::app::{Relay, limited, server};
use crate::crowd::Crowd;
use crate::{ALLOCATOR, alone};

/// How often the clients send in each measurement.
const TIMES: usize = 500;

/// Returns the allocations per message to `sockets` sockets of a server, when `together` messages arrive at once.
fn per_message(server: Server<Relay>, sockets: usize, together: usize) -> f64 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(server.start()).unwrap();
    let mut crowd = Crowd::connect(server.local_addr(), sockets);
    // Lets the queues grow to the size that they need.
    (0..TIMES / 5).for_each(|_| crowd.say(together));
    let region = Region::new(ALLOCATOR);
    (0..TIMES).for_each(|_| crowd.say(together));
    let change = region.change();
    drop(crowd);
    runtime.block_on(server.shutdown());
    let allocated = u32::try_from(change.allocations + change.reallocations).unwrap();
    f64::from(allocated) / f64::from(u32::try_from(TIMES * together).unwrap())
}

#[test]
fn a_delivery_allocates_nothing() {
    let _alone = alone();
    // First on one Replica for each number of sockets. Then on ten Replicas for each.
    for (few, many) in [((10, 500), (200, 500)), ((10, 1), (200, 20))] {
        for together in [1, 32] {
            let [few, many] = [few, many].map(|(sockets, limit)| per_message(server(limit, 1), sockets, together));
            println!("{together} at once: {few:.2} allocations a message to 10 sockets, {many:.2} to 200");
            // Each message has 190 more deliveries. The leeway is for what a server does once per second.
            assert!(many - few < 0.5, "allocations per message grow with the receivers: from {few:.2} to {many:.2}");
        }
    }
}

#[test]
fn limits_that_are_not_reached_allocate_nothing() {
    let _alone = alone();
    for together in [1, 32] {
        let [without, with] = [server(500, 1), limited(500, 1)].map(|server| per_message(server, 10, together));
        println!("{together} at once: {without:.2} allocations a message without limits, {with:.2} with them");
        assert!(with - without < 0.1, "limits allocate: {without:.2} without them, {with:.2} with them");
    }
}
