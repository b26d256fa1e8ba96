//! A delivery takes no memory: what is allocated for a message does not grow with the number of its receivers.

use stats_alloc::Region;
use tokio::runtime::Builder;

use crate::app::start;
use crate::crowd::Crowd;
use crate::{ALLOCATOR, alone};

/// How often each crowd is told something.
const TIMES: usize = 500;

/// What is allocated for a message that goes to so many sockets, on Replicas with so many seats, when so many messages
/// come at once.
fn per_message(sockets: usize, limit: u32, together: usize) -> f64 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(start(limit, 1));
    let mut crowd = Crowd::connect(server.local_addr(), sockets);
    // Queues grow to what they need, once.
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
    // On one Replica, and on ten of them each time.
    for (few, many) in [((10, 500), (200, 500)), ((10, 1), (200, 20))] {
        for together in [1, 32] {
            let [few, many] = [few, many].map(|(sockets, limit)| per_message(sockets, limit, together));
            println!("{together} at once: {few:.2} allocations a message to 10 sockets, {many:.2} to 200");
            // 190 more deliveries; the rest is what the second does, in which a server counts and looks around.
            assert!(many - few < 0.5, "allocations grow with receivers: from {few:.2} a message to {many:.2}");
        }
    }
}
