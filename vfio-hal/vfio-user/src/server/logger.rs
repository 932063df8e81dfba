//! Where a server's log goes.
//!
//! - [`Severity`] has the levels of syslog(3).
//! - [`Logger`] is a server's own log: what it has to say up to a level, to a function. Without one, the `log` crate has
//!   it, as all of this crate.

use core::fmt;
use std::sync::Arc;

/// How much a message matters, with syslog's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Severity {
    /// The system is unusable.
    Emergency = 0,
    /// Somebody must act at once.
    Alert = 1,
    /// A critical condition.
    Critical = 2,
    /// An error.
    Error = 3,
    /// A peer that breaks the protocol, memory that cannot be reached.
    Warning = 4,
    /// Normal, but worth noting.
    Notice = 5,
    /// Clients that come and go.
    Info = 6,
    /// Each command that is refused.
    Debug = 7,
}

impl Severity {
    fn level(self) -> log::Level {
        match self {
            Severity::Emergency | Severity::Alert | Severity::Critical | Severity::Error => log::Level::Error,
            Severity::Warning => log::Level::Warn,
            Severity::Notice | Severity::Info => log::Level::Info,
            Severity::Debug => log::Level::Debug,
        }
    }
}

type Sink = dyn Fn(Severity, fmt::Arguments<'_>) + Send + Sync;

/// A server's log. The default one is the `log` crate's.
#[derive(Clone, Default)]
pub struct Logger(Option<(Severity, Arc<Sink>)>);

impl Logger {
    /// Returns a log that gives messages of `level` and of all that matter more to `sink`. It is called on the thread of the
    /// server, which waits for it.
    pub fn new(
        level: Severity,
        sink: impl Fn(Severity, fmt::Arguments<'_>) + Send + Sync + 'static,
    ) -> Logger {
        Logger(Some((level, Arc::new(sink))))
    }

    /// Logs a message.
    pub fn log(&self, severity: Severity, message: fmt::Arguments<'_>) {
        match &self.0 {
            Some((level, sink)) if severity <= *level => sink(severity, message),
            Some(_) => {}
            None => log::log!(severity.level(), "{message}"),
        }
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Logger").field(&self.0.as_ref().map(|(level, _)| level)).finish()
    }
}

/// Logs to a [`Logger`] with a format.
macro_rules! say {
    ($logger:expr, $severity:ident, $($format:tt)+) => {
        $logger.log($crate::server::Severity::$severity, format_args!($($format)+))
    };
}

pub(super) use say;
