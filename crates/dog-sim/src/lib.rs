//! The simulation of this project: the engine on simulated nodes, with random work and random faults from a seed. After
//! each step it checks whether a promise of DESIGN.md is broken. A [`Bug`] can be planted, to show that the simulation
//! finds it. `cargo xtask sim` runs many seeds.
//!
//! It runs on the simulated world of the test kit (`crates/dog-testing`). Users test their own Apps with the kit, and
//! do not need this crate.
//!
//! # The files, in reading order
//! - `stored`: what objects have stored; `checks`: counts of the checks of each promise
//! - `tasks`: what tasks of objects do, and the checks of that; `task_record`: when they may act
//! - `moment`: names of messages, and what came first; `owed`: a message that a socket must receive
//! - `topic_record`, `late_record`, `say_record`, `seat_record`: topics, late identities, event streams, seats
//! - `publications`: what the App does with logs. Its folder has which topics have one, a model of what it must have, the log on disk,
//!   what one socket has received of it, what is known of publications, and their check at the end
//! - `presence`: what the App does with presence. Its folder has its places, a model of who is there, and its checks
//! - `calls`: typed calls to Groups; `call_record`: how each may end
//! - `group_verbs`: the verbs of a Group; `verb_record`: what they have said, and whom they have reached
//! - `entries`: two entries that objects keep equal; `alarms`: alarms, each with an entry beside it
//! - `record`: what the App's handlers record, and checks of that; `witness`: the handle to it; `sent`: to whom a message is owed;
//!   `parsed`: what a message says; `received`: what a socket has received
//! - `gate`, `endless`: requests that wait, and bodies that never end; `env`: what objects find in their `Env`
//! - `topics`, `late_identity`, `event_streams`: what the App and its clients do with these; `objects`: the Group and its Replicas;
//!   `app`: the App
//! - `plan`: the parameters of a run; `watch`: checks of what the hosts do; `reports`: checks of what verbs report; `run`: a run
//!   in progress
//! - `closing`, `placement`, `per_client`, `verb_check` and `settle` check, when all faults are healed, what a closed Replica does, where
//!   new clients are placed, how many seats one client gets, the verbs of Groups, and all else
//! - `workload`: the actions of a run; `explore`: one run; `many`: many runs in parallel
//!
//! | promise | its checker | when |
//! |---|---|---|
//! | 1 | `SeatRecord::check_limit`; `Watch::lets_in`: no ticket twice, none that has expired | with every seat |
//! | 2, 3 | `check_sticky`, `check_least_used` in `placement` | when all is healed |
//! | 3 | `SeatRecord::check_newcomer`: from the moment on at which a Replica has closed, it gives no seat to a newcomer; `ClosingCheck`: it keeps those who are there, and is used again; `check_books` in `settle`: its Group knows | with every seat; when all is healed |
//! | 4 | `Sent::is_owed`, `Watch::check_owed`: a sender knows all Replicas with sockets | with every message, twice per second |
//! | 5 | `Watch::check_order` | with every message that a client receives |
//! | 6 | `Watch::check_order` (at most once), `Watch::hears` (who is left out, and who was whispered to), `Watch::check_owed`; `Reports`: a verb of a Group reaches or closes each socket that was open throughout and that its Group knew, or its report names the Replica; `VerbCheck`: it reaches or closes exactly the sockets that are open, and leaves no Group that did not exist | the same; with every verb of a Group; when all is healed |
//! | 7 | `RunRecord::handler_begins`, `RunRecord::command`, for event streams `SayRecord`; `check_handlers`, `check_says` in `settle`: none is missing or hangs | with every handler; when all is healed |
//! | 8 | `check_books` in `settle`: the books are what is open; `LateRecord`: a client is named once, and whispers reach it from then on; `VerbCheck`: `count` and `clients` agree with the sockets; `ClosingCheck`: a ticket that was refused is not reserved any more | when all is healed; with every handler |
//! | 9 | `check_books`, `check_lives` in `settle`; the messages of `check_broadcasts` | when all is healed |
//! | 10 | `Watch::check_life`, `Watch::check_sender`, `Watch::writes`, `Watch::lets_in`, `Stored::counted`, `check_lives` in `settle` | with every message, write, ticket and count; when all is healed |
//! | 11 | `Stored::found` (whole, and what was acknowledged), `RunRecord::alarm_rang` (with the entry of its transaction); `LogRecord::check_transactions`: what a transaction publishes is stored with its entry, or neither is | whenever an object wakes or an alarm rings; when all is healed |
//! | 12 | `LateRecord::check_due`, `LateRecord::closes_unassigned`: of its bounds only the time in which a client has to be assigned | twice per second; with every end of a socket |
//! | 13 | `RunRecord::finds_attached`; `check_hibernation` in `settle` | with every handler; when all is healed |
//! | 14 | `Watch::panics`, `work_safely` in `explore`: no panic but those that were asked for; `CallRecord`: each call ends once and in time, runs at most once, and a cycle ends | with every panic; with every call; when all is healed |
//! | 17 | `Subscriber`: each socket receives publications once, in the order of their positions and without a gap, or is told of a loss; `LogRecord::takes`: the order of the calls; `LogCheck`: no socket misses the end of a log; `Confirmations`: how many sockets a publication is said to have reached | with every message; twice per second; when all is healed |
//! | 18 | `LogModel::shown`, `LogRecord::takes`: a position has one publication, and a publication one position of an epoch; `DiskLog`: what is shown of a durable log is stored, each position and each publication once, and nothing is deleted that is kept; `LogModel::check_page`: a page of the history has what is kept; `LogRecord::check_lost`: the epoch changes only with the life of the Group; `LogRecord::ends`: what an error denies is not published; `LogRecord::has_begun_again`, `LogRecord::check_not_gone`: what was reset or purged is gone | whenever a Group shows or answers something |
//! | 19 | `PresenceModel`: each version is the same for all, and its changes are possible; `Graces`: nobody leaves within the grace time; `PresenceRecord::begins_again`: an epoch begins only if no Replica knows the one before; `PresenceRecord::hooked`: a Group's code is told arrivals and departures in turn; `PresenceCheck`: the Group and the code of its Replicas know the open sockets, their clients and values; all of it in the room, and in two topics with the sockets that are subscribed | whenever something is told; when all is healed |
//! | 20 | `TopicRecord::hears`: only subscribers hear; `Sending::is_owed` in `topics`, `group_verbs::broadcast_to`, `Watch::check_owed`: all subscribers hear, also what the Group sends; `TopicRecord::finds`: a socket keeps its topics; `VerbCheck`: the Group reaches exactly the subscribers | with every message; twice per second; with every handler; when all is healed |
//! | 21 | `TaskRecord::may_act`, `TaskCheck::ticks`: a task acts in its own life only, and ticks on time; `Stored::alarm_rang` (in time, and not replaced), `Stored::check_alarms` (it has rung) | with every tick of a task; whenever an alarm rings; when all is healed |
//! | 22 | `PerClientCheck`: a client gets as many seats as one client may have, and no more (a quarter of the seeds has such a limit) | when all is healed |

mod alarms;
mod app;
mod call_record;
mod calls;
mod checks;
mod closing;
mod endless;
mod entries;
mod env;
mod event_streams;
mod explore;
mod gate;
mod group_verbs;
mod late_identity;
mod late_record;
mod many;
mod moment;
mod objects;
mod owed;
mod parsed;
mod per_client;
mod placement;
mod plan;
mod presence;
mod publications;
mod received;
mod record;
mod reports;
mod run;
mod say_record;
mod seat_record;
mod sent;
mod settle;
mod stored;
mod task_record;
mod tasks;
mod topic_record;
mod topics;
mod verb_check;
mod verb_record;
mod watch;
mod witness;
mod workload;

pub use checks::Checks;
pub use dog_testing::world::Bug;
pub use explore::{Finding, Options, RunOutcome, explore, explore_with_trace};
pub use many::{RunSummary, explore_many};
