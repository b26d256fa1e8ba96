//! Two registers in the storage of a Replica: the commands that read and change them, the App's implementation of these
//! commands, and the model against which a record is checked.

use std::collections::BTreeSet;
use std::fmt;

use dog::{Result, Storage, Transaction};

/// The values of one Replica's registers. Zero means that there is no value.
pub(crate) type Registers = [u32; 2];

/// A command to the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Get(usize),
    Put(usize, u32),
    /// The register, the expected value and the new one.
    CompareAndSet(usize, u32, u32),
    /// Exchanges the values of the registers.
    Swap,
    /// Reads both values.
    Both,
}

/// The answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The value of a register. After a failed compare-and-set, the value that it found.
    Value(u32),
    Done,
    /// Both values. After a swap, these are the new ones.
    Values(u32, u32),
    /// The command was not executed: its transaction conflicted with others too often.
    Conflict,
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(register) => write!(formatter, "get {register}"),
            Self::Put(register, value) => write!(formatter, "set {register} {value}"),
            Self::CompareAndSet(register, from, to) => write!(formatter, "exchange {register} {from} {to}"),
            Self::Swap => formatter.write_str("swap"),
            Self::Both => formatter.write_str("both"),
        }
    }
}

impl Command {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let numbers: Vec<u32> = words.iter().skip(1).map_while(|word| word.parse().ok()).collect();
        match (words.first().copied()?, numbers[..].len(), words.len()) {
            ("get", 1, 2) => Some(Self::Get(register(numbers[0])?)),
            ("set", 2, 3) => Some(Self::Put(register(numbers[0])?, numbers[1])),
            ("exchange", 3, 4) => Some(Self::CompareAndSet(register(numbers[0])?, numbers[1], numbers[2])),
            ("swap", 0, 1) => Some(Self::Swap),
            ("both", 0, 1) => Some(Self::Both),
            _ => None,
        }
    }

    /// Returns the value that the command may write.
    fn writes(self) -> Option<u32> {
        match self {
            Self::Put(_, value) | Self::CompareAndSet(_, _, value) => Some(value),
            Self::Get(_) | Self::Swap | Self::Both => None,
        }
    }
}

fn register(number: u32) -> Option<usize> {
    usize::try_from(number).ok().filter(|number| *number < 2)
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(formatter, "value {value}"),
            Self::Done => formatter.write_str("done"),
            Self::Values(first, second) => write!(formatter, "values {first} {second}"),
            Self::Conflict => formatter.write_str("conflict"),
        }
    }
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["value", value] => Some(Self::Value(value.parse().ok()?)),
            ["done"] => Some(Self::Done),
            ["values", first, second] => Some(Self::Values(first.parse().ok()?, second.parse().ok()?)),
            ["conflict"] => Some(Self::Conflict),
            _ => None,
        }
    }
}

const KEYS: [&str; 2] = ["register 0", "register 1"];

/// Adds a write to a transaction that reads, so that its answer waits until everything that it read is durable. An
/// object reads its own writes before they are durable, and its writes become durable in order. So no crash can undo
/// what the answer reports.
pub(crate) fn wait_for_what_was_read(entries: &Transaction) -> Result {
    Ok(entries.put("read", &())?)
}

/// Executes a command. All commands but a put run in a transaction.
pub(crate) async fn answer(storage: &Storage, command: &Command) -> Result<Answer> {
    let command = *command;
    if let Command::Put(register, value) = command {
        storage.put(KEYS[register], &value).await?;
        return Ok(Answer::Done);
    }
    let answer = storage.transaction(async |entries| {
        let mut registers = Registers::default();
        // Reads only the registers that the command needs. A read of another register could cause a conflict.
        for register in needed(command) {
            registers[register] = entries.get(KEYS[register]).await?.unwrap_or_default();
        }
        let (after, answer) = apply(registers, command);
        for register in 0..2 {
            if after[register] != registers[register] {
                entries.put(KEYS[register], &after[register])?;
            }
        }
        wait_for_what_was_read(entries)?;
        Ok(answer)
    });
    match answer.await {
        Err(failure) if failure.downcast_ref::<dog::Error>().is_some_and(dog::Error::is_conflict) => {
            Ok(Answer::Conflict)
        }
        outcome => outcome,
    }
}

fn needed(command: Command) -> Vec<usize> {
    match command {
        Command::Get(register) | Command::CompareAndSet(register, _, _) => vec![register],
        Command::Put(..) => vec![],
        Command::Swap | Command::Both => vec![0, 1],
    }
}

/// Applies a command. Returns the new values and the answer.
pub(crate) fn apply(mut registers: Registers, command: Command) -> (Registers, Answer) {
    let answer = match command {
        Command::Get(register) => Answer::Value(registers[register]),
        Command::Put(register, value) => {
            registers[register] = value;
            Answer::Done
        }
        Command::CompareAndSet(register, from, to) if registers[register] == from => {
            registers[register] = to;
            Answer::Done
        }
        Command::CompareAndSet(register, ..) => Answer::Value(registers[register]),
        Command::Swap => {
            registers.swap(0, 1);
            Answer::Values(registers[0], registers[1])
        }
        Command::Both => Answer::Values(registers[0], registers[1]),
    };
    (registers, answer)
}

/// Returns for each command whether the check must consider it. A command without an answer can be left out if no other
/// command saw the value that it would have written. No two commands write the same value.
pub(crate) fn matter(operations: &[(Command, Option<Answer>)]) -> Vec<bool> {
    let mut matters: Vec<bool> = operations.iter().map(|(_, answer)| answer.is_some()).collect();
    loop {
        let mut seen = BTreeSet::new();
        for ((command, answer), _) in operations.iter().zip(&matters).filter(|(_, matters)| **matters) {
            match answer {
                Some(Answer::Value(value)) => drop(seen.insert(*value)),
                Some(Answer::Values(first, second)) => seen.extend([*first, *second]),
                Some(Answer::Done | Answer::Conflict) | None => {}
            }
            if let Command::CompareAndSet(_, from, _) = command {
                seen.insert(*from);
            }
        }
        let before = matters.clone();
        for (number, (command, _)) in operations.iter().enumerate() {
            let shows = *command == Command::Swap || command.writes().is_some_and(|value| seen.contains(&value));
            matters[number] |= shows;
        }
        if before == matters {
            return matters;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_answers_are_read_back() {
        for command in
            [Command::Get(1), Command::Put(0, 7), Command::CompareAndSet(1, 7, 8), Command::Swap, Command::Both]
        {
            assert_eq!(Command::parse(&command.to_string()), Some(command));
        }
        for text in ["get", "get 2", "set 1", "exchange 1 2", "swap 1", "get x", "wide-1 5", ""] {
            assert_eq!(Command::parse(text), None, "{text}");
        }
        for answer in [Answer::Value(3), Answer::Done, Answer::Values(1, 2), Answer::Conflict] {
            assert_eq!(Answer::parse(&answer.to_string()), Some(answer));
        }
    }

    #[test]
    fn what_nobody_has_answered_matters_where_somebody_saw_it() {
        let table = [
            (Command::Put(0, 1), None),
            (Command::Put(0, 2), None),
            (Command::CompareAndSet(0, 2, 3), None),
            (Command::CompareAndSet(0, 8, 9), None),
            (Command::Get(0), Some(Answer::Value(3))),
            (Command::Get(0), None),
        ];
        assert_eq!(matter(&table), [false, true, true, false, true, false]);
    }
}
