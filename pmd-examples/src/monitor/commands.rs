//! The commands of DPDK's telemetry, version 2, as its client knows them: `/command,parameters`, answered by a JSON object
//! with the command as its only key.

use serde_json::{Value, json};
use vfio_hal::dma::pool::Pool;

use crate::port::Open;
use crate::report::{Stats, xstats};

/// The longest answer, which the client is told when it connects.
pub(super) const MAX_OUTPUT: usize = 65_536;

/// The name of the pool.
const POOL: &str = "mbuf_pool_socket_0";

/// Every command, with its help.
const COMMANDS: [(&str, &str); 12] = [
    ("/", "Returns list of available commands, Takes no parameters"),
    ("/eal/app_params", "Returns the command line. Takes no parameters"),
    ("/eal/params", "Returns the command line. Takes no parameters"),
    ("/ethdev/info", "Returns the device info for a port. Parameters: int port_id"),
    ("/ethdev/link_status", "Returns the link status for a port. Parameters: int port_id"),
    ("/ethdev/list", "Returns list of available ethdev ports. Takes no parameters"),
    ("/ethdev/stats", "Returns the common stats for a port. Parameters: int port_id"),
    ("/ethdev/xstats", "Returns the extended stats for a port. Parameters: int port_id"),
    ("/help", "Returns help text for a command. Parameters: string command"),
    ("/info", "Returns version, process id and longest answer. Takes no parameters"),
    ("/mempool/info", "Returns the state of a pool. Parameters: pool name"),
    ("/mempool/list", "Returns list of available pools. Takes no parameters"),
];

/// Returns what the client is told when it connects.
pub(super) fn greeting() -> Value {
    json!({
        "version": concat!("pmd ", env!("CARGO_PKG_VERSION")),
        "pid": std::process::id(),
        "max_output_len": MAX_OUTPUT,
    })
}

/// Answers one command; one that is not known, or asks for what is not there, with null.
pub(super) fn answer(text: &str, open: &mut [Open], pool: &Pool) -> String {
    let (command, parameters) = text.split_once(',').unwrap_or((text, ""));
    let value = of(command, parameters.trim(), open, pool).unwrap_or(Value::Null);
    let answer = json!({ command: value }).to_string();
    match answer.len() {
        0..=MAX_OUTPUT => answer,
        _ => json!({ command: null }).to_string(),
    }
}

fn of(command: &str, parameters: &str, open: &mut [Open], pool: &Pool) -> Option<Value> {
    Some(match command {
        "/" => COMMANDS.iter().map(|(name, _)| Value::from(*name)).collect(),
        "/help" => {
            let (name, help) = COMMANDS.iter().find(|(name, _)| *name == parameters)?;
            json!({ *name: help })
        }
        "/info" => greeting(),
        "/eal/params" | "/eal/app_params" => std::env::args().collect(),
        "/ethdev/list" => (0..open.len()).collect(),
        "/ethdev/stats" => serde_json::to_value(Stats::from(port(parameters, open)?.1.stats().ok()?)).ok()?,
        "/ethdev/xstats" => serde_json::to_value(xstats(&mut *port(parameters, open)?.1.port).ok()?).ok()?,
        "/ethdev/link_status" => {
            let link = port(parameters, open)?.1.port.link().ok()?;
            match link.up {
                true => json!({
                    "status": "UP",
                    "speed": link.speed_mbps,
                    "duplex": if link.full_duplex { "full-duplex" } else { "half-duplex" },
                }),
                false => json!({ "status": "DOWN" }),
            }
        }
        "/ethdev/info" => {
            let (number, one) = port(parameters, open)?;
            let info = one.port.info();
            json!({
                "name": one.name,
                "port_id": number,
                "driver": info.driver,
                "device": info.device,
                "mac_addr": info.mac.to_string(),
                "mtu": info.mtu,
                "nb_rx_queues": one.queues.0,
                "nb_tx_queues": one.queues.1,
                "max_rx_queues": info.max_rx_queues,
                "max_tx_queues": info.max_tx_queues,
            })
        }
        "/mempool/list" => json!([POOL]),
        "/mempool/info" if parameters == POOL => json!({
            "name": POOL,
            "size": pool.capacity(),
            "elt_size": pool.data_room(),
            "common_pool_count": pool.available(),
            "leaked": pool.leaked(),
        }),
        _ => return None,
    })
}

fn port<'a>(parameters: &str, open: &'a mut [Open]) -> Option<(usize, &'a mut Open)> {
    // Parameters that a newer client adds are passed over.
    let number: usize = parameters.split(',').next()?.trim().parse().ok()?;
    Some((number, open.get_mut(number)?))
}
