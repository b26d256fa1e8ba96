//! Outages of nodes: crashes, pauses and isolation. A paused or isolated node can lose its lease. Its objects then
//! begin new lives on other nodes, while the old lives still run until the node notices.

use std::rc::Rc;

use dog::Epoch;
use dog_engine::address::Object;

use super::bugs::Bug;
use super::clock::Micros;
use super::nodes::LEASE;
use super::world::World;

/// After this time of isolation a node stops by its own clock: four fifths of the lease.
const STOPS_AFTER: Micros = LEASE / 5 * 4;

/// A node may notice this much later, because one turn of its event loop may take that long.
const LATE_BY: Micros = 3_000_000;

impl World {
    /// Returns the number of nodes.
    pub fn nodes(&self) -> usize {
        self.services().core().nodes().count()
    }

    /// Returns the nodes that answer clients, as far as clients know.
    pub fn serving_nodes(&self) -> Vec<usize> {
        let nodes = self.services().core().nodes();
        (0..nodes.count()).filter(|node| nodes.serves(*node)).collect()
    }

    /// Returns the nodes that have a lease and no outage.
    pub fn healthy_nodes(&self) -> Vec<usize> {
        let nodes = self.services().core().nodes();
        nodes.members().into_iter().filter(|node| nodes.outage(*node).is_none()).collect()
    }

    /// Crashes a node with all its objects. They can begin new lives on other nodes.
    pub fn crash_node(&self, node: usize) {
        let services = self.services();
        let lives = services.lives().all_on(node);
        self.note(|| format!("node {node} crashes with {} objects", lives.len()));
        services.core().nodes().crash(node);
        for running in lives {
            let Some(object) = running.life.object() else { continue };
            if !services.crash(object) {
                services.life_ended(object, running.life.epoch());
            }
        }
        self.lose_requests(node);
        services.core().network().count_cut();
    }

    /// Starts a crashed node again, without objects. Returns `false` if it has not crashed.
    pub fn restart_node(&self, node: usize) -> bool {
        let has_crashed = self.services().core().nodes().is_crashed(node);
        if has_crashed {
            self.rejoin(node);
        }
        has_crashed
    }

    /// Pauses a node for that long: its tasks, timers and connections make no progress.
    pub fn pause_node(self: &Rc<Self>, node: usize, lasts: Micros) {
        let until = self.micros() + lasts;
        self.note(|| format!("node {node} is paused for {} ms", lasts / 1000));
        let outage = self.begin_outage(node);
        self.services().core().nodes().pause(node, until);
        if lasts > LEASE {
            self.strike_off_later(node, outage);
        }
        self.later(lasts, move |world| world.resume_node(node, outage));
    }

    fn resume_node(self: &Rc<Self>, node: usize, outage: u64) {
        if !self.is_in_outage(node, outage) || self.services().core().nodes().paused_until(node).is_none() {
            return;
        }
        self.note(|| format!("node {node} is resumed"));
        self.services().core().nodes().resume(node);
        let is_struck_off = self.services().core().nodes().is_struck_off(node);
        if is_struck_off {
            let late_by = self.notices_late_by();
            self.later(late_by, move |world| world.notice(node, outage));
        } else {
            self.services().core().nodes().end_outage(node);
        }
    }

    /// Isolates a node for that long: it reaches neither other nodes nor the storage. Its clients still reach it.
    pub fn isolate_node(self: &Rc<Self>, node: usize, lasts: Micros) {
        self.note(|| format!("node {node} is isolated for {} ms", lasts / 1000));
        let outage = self.begin_outage(node);
        self.services().core().network().isolate(node);
        if lasts > STOPS_AFTER {
            self.strike_off_later(node, outage);
            let late_by = self.notices_late_by();
            self.later(STOPS_AFTER + late_by, move |world| world.notice(node, outage));
        }
        self.later(lasts, move |world| world.reconnect_node(node, outage));
    }

    fn reconnect_node(self: &Rc<Self>, node: usize, outage: u64) {
        let is_isolated = self.services().core().network().is_isolated(node);
        if !self.is_in_outage(node, outage) || !is_isolated {
            return;
        }
        self.note(|| format!("node {node} is connected again"));
        self.services().core().network().reconnect(node);
        self.services().store().reconnect(node);
        self.services().mail().reconnect(node);
        let (is_struck_off, serves) = {
            let nodes = self.services().core().nodes();
            (nodes.is_struck_off(node), nodes.serves(node))
        };
        if !serves {
            self.rejoin(node);
        } else if !is_struck_off {
            self.services().core().nodes().end_outage(node);
        }
    }

    fn begin_outage(&self, node: usize) -> u64 {
        let core = self.services().core();
        core.network().count_cut();
        core.nodes().begin_outage(node)
    }

    fn is_in_outage(&self, node: usize, outage: u64) -> bool {
        self.services().core().nodes().is_in_outage(node, outage)
    }

    fn notices_late_by(&self) -> Micros {
        let mut random = self.random();
        if random.happens(500) { 0 } else { random.within(0..=LATE_BY) }
    }

    fn strike_off_later(self: &Rc<Self>, node: usize, outage: u64) {
        self.later(LEASE, move |world| {
            if world.is_in_outage(node, outage) {
                world.strike_off(node);
            }
        });
    }

    /// Strikes the node off: its lease has ended, and other nodes may have its objects.
    fn strike_off(&self, node: usize) {
        self.note(|| format!("node {node} is struck off"));
        let services = self.services();
        services.core().nodes().strike_off(node, self.micros());
        services.core().network().count_cut();
        for running in services.lives().supersede(node) {
            running.life.set_overlaps(true);
            services.core().observe(|observer| observer.is_superseded(&running.life));
            if let Some(object) = running.life.object() {
                services.store().ring_once_more(object);
            }
        }
    }

    /// Returns the lives that still run on nodes that were struck off: their nodes have not noticed.
    pub fn superseded_lives(&self) -> Vec<(Object, Epoch)> {
        self.services().lives().all_superseded()
    }

    /// Lets the node notice that it has no lease: its objects end.
    fn notice(self: &Rc<Self>, node: usize, outage: u64) {
        if !self.is_in_outage(node, outage) || !self.services().core().nodes().serves(node) {
            return;
        }
        self.note(|| format!("node {node} notices that its lease is over"));
        let services = self.services();
        services.core().nodes().stop(node);
        for running in services.lives().all_on(node) {
            running.life.set_overlaps(false);
            if !services.core().has_bug(Bug::UncheckedLease) {
                running.driver.cease();
            }
        }
        let is_isolated = services.core().network().is_isolated(node);
        if !is_isolated {
            self.rejoin(node);
        }
    }

    /// Gives the node a new lease.
    fn rejoin(&self, node: usize) {
        self.note(|| format!("node {node} takes another lease"));
        self.services().core().nodes().rejoin(node, self.micros());
    }

    /// Starts crashed nodes again and connects isolated ones. Pauses end by themselves.
    pub fn end_outages(self: &Rc<Self>) {
        for node in 0..self.nodes() {
            self.restart_node(node);
            let outage = self.services().core().nodes().outage(node);
            if let Some(outage) = outage {
                self.reconnect_node(node, outage);
            }
        }
    }
}
