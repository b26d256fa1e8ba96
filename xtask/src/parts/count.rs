//! How many tests ran, read from what cargo prints.

/// How many tests a run of cargo's test harness ran.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Count {
    passed: u32,
    ignored: u32,
}

impl Count {
    /// Adds up the lines `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub(super) fn of(output: &str) -> Self {
        let results = output.lines().filter_map(|line| line.trim().strip_prefix("test result: "));
        results.fold(Self::default(), |sum, line| Self {
            passed: sum.passed + number_before(line, "passed"),
            ignored: sum.ignored + number_before(line, "ignored"),
        })
    }

    /// Only those that passed, for a part whose ignored tests belong to another part.
    pub(super) fn passed(&self) -> String {
        format!("{} passed", self.passed)
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} passed", self.passed)?;
        if self.ignored > 0 {
            write!(formatter, ", {} ignored", self.ignored)?;
        }
        Ok(())
    }
}

fn number_before(line: &str, word: &str) -> u32 {
    let mut words = line.split([' ', ';', '.']).filter(|part| !part.is_empty()).rev();
    words.find(|part| *part == word);
    words.next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_over_all_targets() {
        let output = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
            test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\n";
        assert_eq!(Count::of(output), Count { passed: 43, ignored: 1 });
        assert_eq!(Count::of(output).to_string(), "43 passed, 1 ignored");
        assert_eq!(Count::of("no tests at all"), Count::default());
    }
}
