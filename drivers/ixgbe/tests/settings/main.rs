//! What an application can set on a port, against the model of the 82599: filters, RSS, flow control, MTU, statistics.
//! Nothing here looks at a register; packets say whether a setting works.

mod bench;
mod filters;
mod flows;
mod lro;
mod pauses;
mod rss;
mod statistics;
mod time;
