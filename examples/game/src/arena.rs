//! The rules of one match, as plain state: players run after a coin, and who has ten has won. No clock, no sockets.

use std::time::Duration;

/// The time from one step to the next: 20 steps per second.
pub const TICK: Duration = Duration::from_millis(50);
/// The size of the field.
pub const FIELD: (u16, u16) = (800, 500);
/// Who has this many coins has won.
pub const GOAL: u8 = 10;
/// The steps from the second player to the start of the match: 3 s.
pub const COUNTDOWN: u32 = 60;
/// The steps from the end of a match to the next one: 5 s.
pub const PAUSE: u32 = 100;
/// The most steps that are made up for at once, when the server was late.
const MOST_STEPS: u64 = 20;
/// How far a player runs in one step.
const SPEED: u16 = 9;
/// A player who is this near to the coin has it.
const REACH: u16 = 26;
/// How near to the edge of the field players and coins may be.
const EDGE: u16 = 20;

/// What happens in a match at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits for a second player.
    Waiting,
    /// It begins soon.
    Countdown,
    /// It runs.
    Running,
    /// Somebody has won, or everybody else has left.
    Over,
}

/// The number of a player in a match, from 0.
pub type Slot = u8;

/// One player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Player {
    /// Its number.
    pub slot: Slot,
    /// Where it is.
    pub at: (u16, u16),
    /// How many coins it has.
    pub coins: u8,
    /// The keys that it holds: 1 is up, 2 down, 4 left, 8 right.
    keys: u8,
}

/// One match.
#[derive(Debug)]
pub struct Arena {
    phase: Phase,
    /// The steps that are left of a countdown or a pause.
    left: u32,
    players: Vec<Player>,
    coin: (u16, u16),
    winner: Option<Slot>,
    random: u64,
}

impl Arena {
    /// A match without players. `seed` says where its coins will be.
    pub fn new(seed: u64) -> Self {
        let mut arena =
            Self { phase: Phase::Waiting, left: 0, players: Vec::new(), coin: (0, 0), winner: None, random: seed | 1 };
        arena.coin = arena.anywhere();
        arena
    }

    /// What happens at the moment.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether it has not begun, so that others may come.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Countdown)
    }

    /// The players.
    pub fn players(&self) -> &[Player] {
        &self.players
    }

    /// Where the coin is.
    pub fn coin(&self) -> (u16, u16) {
        self.coin
    }

    /// A player enters. Returns the lowest free number, or `None` if all 256 are taken.
    pub fn enter(&mut self) -> Option<Slot> {
        let slot = (0..=Slot::MAX).find(|slot| self.players.iter().all(|player| player.slot != *slot))?;
        let at = self.anywhere();
        self.players.push(Player { slot, at, coins: 0, keys: 0 });
        Some(slot)
    }

    /// A player leaves.
    pub fn leave(&mut self, slot: Slot) {
        self.players.retain(|player| player.slot != slot);
    }

    /// Everybody has left: it waits for players again.
    pub fn reset(&mut self) {
        self.enter_phase(Phase::Waiting, 0);
        self.winner = None;
    }

    /// A player holds these keys from now on.
    pub fn hold(&mut self, slot: Slot, keys: u8) {
        if let Some(player) = self.players.iter_mut().find(|player| player.slot == slot) {
            player.keys = keys;
        }
    }

    /// Makes a step, and those that were skipped before it, so that players run as fast on a server that was late.
    pub fn step(&mut self, skipped: u64) {
        for _ in 0..=skipped.min(MOST_STEPS) {
            self.step_once();
        }
    }

    fn step_once(&mut self) {
        self.left = self.left.saturating_sub(1);
        match self.phase {
            Phase::Waiting if self.players.len() > 1 => self.enter_phase(Phase::Countdown, COUNTDOWN),
            Phase::Countdown if self.players.len() < 2 => self.enter_phase(Phase::Waiting, 0),
            Phase::Countdown if self.left == 0 => {
                self.players.iter_mut().for_each(|player| player.coins = 0);
                self.winner = None;
                self.enter_phase(Phase::Running, 0);
            }
            Phase::Running if self.players.len() < 2 => {
                self.winner = self.players.first().map(|player| player.slot);
                self.enter_phase(Phase::Over, PAUSE);
            }
            Phase::Over if self.left == 0 => self.enter_phase(Phase::Waiting, 0),
            _ => {}
        }
        self.players.iter_mut().for_each(Player::run);
        if self.phase == Phase::Running {
            self.give_coin();
        }
    }

    fn enter_phase(&mut self, phase: Phase, left: u32) {
        (self.phase, self.left) = (phase, left);
    }

    /// The first player within reach has the coin, and there is another one.
    fn give_coin(&mut self) {
        let coin = self.coin;
        let is_near = |player: &&mut Player| {
            u32::from(player.at.0.abs_diff(coin.0)).pow(2) + u32::from(player.at.1.abs_diff(coin.1)).pow(2)
                <= u32::from(REACH).pow(2)
        };
        let Some(player) = self.players.iter_mut().find(is_near) else { return };
        player.coins += 1;
        let (slot, has_won) = (player.slot, player.coins >= GOAL);
        self.coin = self.anywhere();
        if has_won {
            self.winner = Some(slot);
            self.enter_phase(Phase::Over, PAUSE);
        }
    }

    /// A place in the field (xorshift64).
    fn anywhere(&mut self) -> (u16, u16) {
        let mut within = |size: u16| {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let span = u64::from(size - 2 * EDGE);
            EDGE + u16::try_from((self.random >> 20) % span).unwrap_or(0)
        };
        (within(FIELD.0), within(FIELD.1))
    }

    /// The state of the match in 8 bytes, and 6 for each player. Numbers of two bytes are little-endian:
    /// the phase, the seconds left, the winner (255: none), the coin's x and y, the number of players; then for each its
    /// number, its x and y, its coins.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 6 * self.players.len());
        let seconds = u8::try_from(self.left.div_ceil(20)).unwrap_or(u8::MAX);
        bytes.extend([self.phase as u8, seconds, self.winner.unwrap_or(u8::MAX)]);
        bytes.extend(self.coin.0.to_le_bytes());
        bytes.extend(self.coin.1.to_le_bytes());
        bytes.push(u8::try_from(self.players.len()).unwrap_or(u8::MAX));
        for player in self.players.iter().take(usize::from(u8::MAX)) {
            bytes.push(player.slot);
            bytes.extend(player.at.0.to_le_bytes());
            bytes.extend(player.at.1.to_le_bytes());
            bytes.push(player.coins);
        }
        bytes
    }
}

impl Player {
    fn run(&mut self) {
        let holds = |key: u8| self.keys & key != 0;
        let along = |at: u16, back: bool, on: bool, size: u16| {
            let at = if back { at.saturating_sub(SPEED) } else { at };
            let at = if on { at + SPEED } else { at };
            at.clamp(EDGE, size - EDGE)
        };
        self.at = (along(self.at.0, holds(4), holds(8), FIELD.0), along(self.at.1, holds(1), holds(2), FIELD.1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A match of two that has begun.
    fn begun() -> Arena {
        let mut arena = Arena::new(7);
        assert_eq!((arena.enter(), arena.enter()), (Some(0), Some(1)));
        (0..=COUNTDOWN).for_each(|_| arena.step(0));
        assert_eq!(arena.phase(), Phase::Running);
        arena
    }

    /// Lets a player run to the coin until it has one more.
    fn fetch(arena: &mut Arena, slot: Slot) {
        let coins = |arena: &Arena| arena.players().iter().map(|player| u32::from(player.coins)).sum::<u32>();
        let before = coins(arena);
        for _ in 0..400 {
            let (at, coin) = (arena.players()[usize::from(slot)].at, arena.coin());
            let keys = [(1, coin.1 < at.1), (2, coin.1 > at.1), (4, coin.0 < at.0), (8, coin.0 > at.0)];
            arena.hold(slot, keys.iter().filter(|(_, held)| *held).map(|(key, _)| key).sum());
            arena.step(0);
            if coins(arena) > before {
                return;
            }
        }
        panic!("nobody came to the coin: {arena:?}");
    }

    #[test]
    fn a_match_begins_with_the_second_player_after_a_countdown() {
        let mut arena = Arena::new(1);
        arena.enter();
        arena.step(0);
        assert_eq!((arena.phase(), arena.is_open()), (Phase::Waiting, true));
        arena.enter();
        arena.step(0);
        assert_eq!((arena.phase(), arena.is_open()), (Phase::Countdown, true));
        (1..COUNTDOWN).for_each(|_| arena.step(0));
        assert_eq!(arena.phase(), Phase::Countdown);
        arena.step(0);
        assert_eq!((arena.phase(), arena.is_open()), (Phase::Running, false));
    }

    #[test]
    fn who_has_ten_coins_has_won_and_then_another_match_begins() {
        let mut arena = begun();
        for _ in 1..GOAL {
            fetch(&mut arena, 1);
            assert_eq!(arena.phase(), Phase::Running);
        }
        fetch(&mut arena, 1);
        assert_eq!((arena.phase(), arena.snapshot()[2]), (Phase::Over, 1));
        (0..=PAUSE + COUNTDOWN).for_each(|_| arena.step(0));
        assert_eq!(arena.phase(), Phase::Running);
        assert!(arena.players().iter().all(|player| player.coins == 0));
    }

    #[test]
    fn who_is_left_alone_has_won() {
        let mut arena = begun();
        arena.leave(0);
        arena.step(0);
        assert_eq!((arena.phase(), arena.snapshot()[2]), (Phase::Over, 1));
        assert_eq!(arena.enter(), Some(0), "the number is free again");
    }

    #[test]
    fn nobody_leaves_the_field_and_late_steps_are_made_up_for() {
        let mut arena = begun();
        arena.hold(0, 1 | 4);
        arena.hold(1, 2 | 8);
        let before = arena.players()[0].at;
        arena.step(1);
        let after = arena.players()[0].at;
        assert_eq!(after.0, before.0.saturating_sub(2 * SPEED).max(EDGE));
        (0..200).for_each(|_| arena.step(0));
        assert_eq!(arena.players()[0].at, (EDGE, EDGE));
        assert_eq!(arena.players()[1].at, (FIELD.0 - EDGE, FIELD.1 - EDGE));
        arena.step(u64::MAX);
    }

    #[test]
    fn a_snapshot_says_where_everybody_is() {
        let arena = begun();
        let bytes = arena.snapshot();
        assert_eq!((bytes.len(), bytes[0], bytes[2], bytes[7]), (20, Phase::Running as u8, u8::MAX, 2));
        let x = u16::from_le_bytes([bytes[15], bytes[16]]);
        assert_eq!((bytes[14], x), (1, arena.players()[1].at.0));
    }
}
