//! The user's hand on a card, in words: what [`Control`] can do as lines of text.
//!
//! Key types: [`Command`], parsed from a line; [`HELP`] lists them. Neighbours: `pmd serve afu --control` reads them.

use core::str::FromStr;

use super::{Control, ErrorRegister, Faults};
use crate::config::{AfuKind, MAX_PORTS};

/// The commands, a line each.
pub const HELP: &str = "\
temperature CELSIUS
power WATTS
stall PORT on|off            the accelerator never ends its tests
stick-reset PORT on|off      resets are not acknowledged
corrupt PORT LINE|off        one bit of this line of every test is wrong
fail-dma PORT LINES|off      memory accesses fail after so many lines
error port PORT BITS         errors of a port, such as 0x200
error fme|pcie0|pcie1|nonfatal|catastrophic BITS
interrupt PORT NUMBER        a user interrupt
load PORT nlb0|he-lpbk|he-mem|dummy|stream";

/// Something to do to a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sets the temperature in °C.
    Temperature(u8),
    /// Sets the power in watts.
    Power(u32),
    /// See [`Faults::stalled`].
    Stall(usize, bool),
    /// See [`Faults::reset_stuck`].
    StickReset(usize, bool),
    /// See [`Faults::corrupt_line`].
    Corrupt(usize, Option<u64>),
    /// See [`Faults::dma_fails_after`].
    FailDma(usize, Option<u64>),
    /// Raises errors of a port.
    PortError(usize, u64),
    /// Raises errors of the FME.
    FmeError(ErrorRegister, u64),
    /// Raises a user interrupt.
    Interrupt(usize, u8),
    /// Puts another accelerator into a port.
    Load(usize, AfuKind),
}

/// A line that is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The first word is none of the commands.
    #[error("no such command: see the list of commands")]
    Unknown,
    /// A word is missing, or there is one too many.
    #[error("this command takes {expected}")]
    Words {
        /// What it takes.
        expected: &'static str,
    },
    /// A word is not what it should be.
    #[error("{what} is expected as word {word}")]
    Word {
        /// Which word, counted from 1.
        word: usize,
        /// What it should be.
        what: &'static str,
    },
}

/// The words of a line.
struct Words<'l> {
    words: Vec<&'l str>,
    next: usize,
    expected: &'static str,
}

impl<'l> Words<'l> {
    fn next(&mut self) -> Result<&'l str, CommandError> {
        let word = self.words.get(self.next).ok_or(CommandError::Words { expected: self.expected })?;
        self.next += 1;
        Ok(word)
    }

    fn parse<T>(&mut self, what: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, CommandError> {
        let word = self.next()?;
        parse(word).ok_or(CommandError::Word { word: self.next, what })
    }

    fn number<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, CommandError> {
        self.parse(what, |word| number(word).and_then(|number| T::try_from(number).ok()))
    }

    fn port(&mut self) -> Result<usize, CommandError> {
        let port = |word: &str| number(word).map(|port| port as usize).filter(|&port| port < MAX_PORTS);
        self.parse("a port, 0 to 3,", port)
    }

    fn switch(&mut self) -> Result<bool, CommandError> {
        self.parse("`on` or `off`", |word| match word {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        })
    }

    fn number_or_off(&mut self) -> Result<Option<u64>, CommandError> {
        self.parse(
            "a number or `off`",
            |word| if word == "off" { Some(None) } else { number(word).map(Some) },
        )
    }

    fn end(self, command: Command) -> Result<Command, CommandError> {
        let ended = self.next == self.words.len();
        ended.then_some(command).ok_or(CommandError::Words { expected: self.expected })
    }
}

/// A decimal number, or a hexadecimal one behind `0x`.
fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if word.starts_with('+') => None,
        None => word.parse().ok(),
    }
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Command, CommandError> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words.first().copied().unwrap_or_default();
        let expected = HELP
            .lines()
            .find(|line| line.split(' ').next() == Some(name))
            .and_then(|line| line.split("  ").next())
            .ok_or(CommandError::Unknown)?;
        let mut words = Words { words, next: 1, expected };
        let command = match name {
            "temperature" => Command::Temperature(words.number("a temperature, 0 to 127,")?),
            "power" => Command::Power(words.number("a number of watts")?),
            "stall" => Command::Stall(words.port()?, words.switch()?),
            "stick-reset" => Command::StickReset(words.port()?, words.switch()?),
            "corrupt" => Command::Corrupt(words.port()?, words.number_or_off()?),
            "fail-dma" => Command::FailDma(words.port()?, words.number_or_off()?),
            "interrupt" => Command::Interrupt(words.port()?, words.number("a user interrupt's number")?),
            "load" => Command::Load(words.port()?, words.parse("an accelerator", |word| word.parse().ok())?),
            "error" => {
                let register = |word: &str| {
                    Some(match word {
                        "port" => None,
                        "fme" => Some(ErrorRegister::Fme),
                        "pcie0" => Some(ErrorRegister::Pcie0),
                        "pcie1" => Some(ErrorRegister::Pcie1),
                        "nonfatal" => Some(ErrorRegister::NonFatal),
                        "catastrophic" => Some(ErrorRegister::Catastrophic),
                        _ => return None,
                    })
                };
                words.expected = "`port`, a port and bits, or an error register and bits";
                match words.parse("`port` or an error register", register)? {
                    None => Command::PortError(words.port()?, words.number("bits")?),
                    Some(register) => Command::FmeError(register, words.number("bits")?),
                }
            }
            _ => return Err(CommandError::Unknown),
        };
        words.end(command)
    }
}

impl Control {
    /// Does it.
    pub fn run(&self, command: Command) {
        let faults = |port: usize, set: &dyn Fn(&mut Faults)| {
            let mut faults = self.faults(port);
            set(&mut faults);
            self.set_faults(port, faults);
        };
        match command {
            Command::Temperature(celsius) => self.set_temperature(celsius),
            Command::Power(watts) => self.set_power(watts),
            Command::Stall(port, on) => faults(port, &|faults| faults.stalled = on),
            Command::StickReset(port, on) => faults(port, &|faults| faults.reset_stuck = on),
            Command::Corrupt(port, line) => faults(port, &|faults| faults.corrupt_line = line),
            Command::FailDma(port, lines) => faults(port, &|faults| faults.dma_fails_after = lines),
            Command::PortError(port, bits) => self.raise_port_error(port, bits),
            Command::FmeError(register, bits) => self.raise_fme_error(register, bits),
            Command::Interrupt(port, number) => self.raise_user_interrupt(port, number),
            Command::Load(port, kind) => self.load(port, kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood() {
        for (line, command) in [
            ("temperature 95", Command::Temperature(95)),
            ("  power\t70 ", Command::Power(70)),
            ("stall 0 on", Command::Stall(0, true)),
            ("stick-reset 3 off", Command::StickReset(3, false)),
            ("corrupt 1 133", Command::Corrupt(1, Some(133))),
            ("corrupt 1 off", Command::Corrupt(1, None)),
            ("fail-dma 0 0x10", Command::FailDma(0, Some(16))),
            ("error port 0 0x200", Command::PortError(0, 0x200)),
            ("error pcie0 1", Command::FmeError(ErrorRegister::Pcie0, 1)),
            ("interrupt 0 2", Command::Interrupt(0, 2)),
            ("load 0 he-mem", Command::Load(0, AfuKind::HeMem)),
        ] {
            assert_eq!(line.parse(), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_no_command_says_why() {
        for (line, error) in [
            ("", CommandError::Unknown),
            ("temp 3", CommandError::Unknown),
            ("temperature", CommandError::Words { expected: "temperature CELSIUS" }),
            ("temperature 3 4", CommandError::Words { expected: "temperature CELSIUS" }),
            ("temperature 300", CommandError::Word { word: 2, what: "a temperature, 0 to 127," }),
            ("stall 4 on", CommandError::Word { word: 2, what: "a port, 0 to 3," }),
            ("stall 0 maybe", CommandError::Word { word: 3, what: "`on` or `off`" }),
            ("corrupt 0 +5", CommandError::Word { word: 3, what: "a number or `off`" }),
        ] {
            assert_eq!(line.parse::<Command>(), Err(error), "{line}");
        }
    }

    #[test]
    fn a_command_changes_one_thing() {
        let control = Control::new(40, 20);
        for line in ["stall 1 on", "corrupt 1 7", "temperature 90"] {
            control.run(line.parse().unwrap());
        }
        let expected = Faults { stalled: true, corrupt_line: Some(7), ..Faults::default() };
        assert_eq!((control.faults(1), control.faults(0)), (expected, Faults::default()));
        assert_eq!(control.environment().0.temperature, 90);
    }
}
