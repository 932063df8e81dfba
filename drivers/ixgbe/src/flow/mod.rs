//! Flow rules: packets of one kind or flow to a queue, marked, or dropped (82599 datasheet 7.1.2.3 to 7.1.2.7).
//!
//! The device has three tables, asked in this order before RSS: 8 EtherType filters ([`ethertype`]), 128 5-tuple filters
//! and a SYN filter ([`tuple`](mod@tuple)), and the flow director ([`director`]), which alone marks and drops, and which takes a
//! part of the packet buffer: [`Config::flow_director`](crate::Config::flow_director).
//!
//! Key types: [`Flows`] is everything a port was told, so that [`Flows::apply`] can tell a device again after a reset;
//! [`FlowMemory`] is what the flow director gets.
//!
//! Neighbours: [`Running`] adds and removes rules while packets flow. The rules' words are [`vfio_hal::pmd`]'s.

mod director;
mod ethertype;
mod hash;
mod tuple;

use alloc::collections::BTreeMap;

use vfio_hal::pmd::{FlowAction, FlowId, FlowPattern, FlowRule, PortError};

use crate::hw::Hw;
use crate::running::Running;
use director::Director;
pub use director::FlowMemory;
use ethertype::EtherTypes;
use tuple::Tuples;

/// Where a rule is.
#[derive(Clone, Copy, Debug)]
enum Place {
    EtherType(u8),
    Syn,
    Tuple(u8),
    Director(u16),
}

/// The flow rules of a port.
pub(crate) struct Flows {
    ethertypes: EtherTypes,
    tuples: Tuples,
    director: Option<Director>,
    rules: BTreeMap<u32, Place>,
    /// The name of the next rule: none is used twice, so that an old name does not remove a new rule.
    next: u32,
    queues: u16,
}

impl Flows {
    /// Returns no rules, for a port of so many receive queues.
    pub(crate) fn new(queues: u16, memory: Option<FlowMemory>) -> Flows {
        Flows {
            ethertypes: EtherTypes::default(),
            tuples: Tuples::default(),
            director: memory.map(Director::new),
            rules: BTreeMap::new(),
            next: 0,
            queues,
        }
    }

    /// Lets an EtherType filter find PTP packets for the clock to time.
    pub(crate) fn enable_ptp(&mut self, hw: &Hw) -> Result<(), PortError> {
        self.ethertypes.enable_ptp(hw)
    }

    /// Gives that filter back.
    pub(crate) fn disable_ptp(&mut self, hw: &Hw) -> Result<(), PortError> {
        self.ethertypes.disable_ptp(hw)
    }

    /// Tells the device everything. Receive must be off, and the tables empty.
    pub(crate) fn apply(&mut self, hw: &Hw) -> Result<(), PortError> {
        self.ethertypes.apply(hw)?;
        self.tuples.apply(hw)?;
        self.director.as_ref().map_or(Ok(()), |director| director.apply(hw))
    }

    fn add(&mut self, hw: &Hw, rule: &FlowRule) -> Result<FlowId, PortError> {
        let next = self.next.checked_add(1).ok_or(PortError::Invalid {
            what: "every name of a flow rule was used once: configure the port anew",
        })?;
        if let FlowAction::Queue(queue) | FlowAction::Mark { queue, .. } = rule.action
            && queue >= self.queues
        {
            let max = u64::from(self.queues) - 1;
            return Err(PortError::OutOfRange {
                what: "the flow rule's queue",
                value: queue.into(),
                min: 0,
                max,
            });
        }
        let place = match rule.pattern {
            FlowPattern::EtherType(ethertype) => {
                Place::EtherType(self.ethertypes.add(hw, ethertype, queue_only(rule.action)?)?)
            }
            FlowPattern::TcpSyn => {
                self.tuples.set_syn(hw, queue_only(rule.action)?)?;
                Place::Syn
            }
            FlowPattern::Tuple(tuple) => match rule.action {
                FlowAction::Queue(queue) if tuple::fits(&tuple) => {
                    Place::Tuple(self.tuples.add(hw, &tuple, queue, rule.priority)?)
                }
                action => Place::Director(self.director()?.add(hw, &tuple, action)?),
            },
        };
        let id = core::mem::replace(&mut self.next, next);
        self.rules.insert(id, place);
        Ok(FlowId(id))
    }

    fn remove(&mut self, hw: &Hw, id: FlowId) -> Result<(), PortError> {
        let place = *self.rules.get(&id.0).ok_or(PortError::UnknownFlow)?;
        match place {
            Place::EtherType(index) => self.ethertypes.remove(hw, index)?,
            Place::Syn => self.tuples.clear_syn(hw)?,
            Place::Tuple(index) => self.tuples.remove(hw, index)?,
            Place::Director(index) => self.director()?.remove(hw, index)?,
        }
        self.rules.remove(&id.0);
        Ok(())
    }

    fn director(&mut self) -> Result<&mut Director, PortError> {
        self.director.as_mut().ok_or(PortError::Unsupported {
            what: "a flow rule that marks, drops, or looks at the VLAN, without the flow director: give it memory when \
                   the port is configured",
        })
    }
}

/// Returns the queue of an action that the smaller tables can do.
fn queue_only(action: FlowAction) -> Result<u16, PortError> {
    match action {
        FlowAction::Queue(queue) => Ok(queue),
        FlowAction::Mark { .. } | FlowAction::Drop => Err(PortError::Unsupported {
            what: "a flow rule by EtherType or for TCP SYN that marks or drops: it can choose a queue",
        }),
    }
}

impl Running {
    /// Adds a flow rule, in force from now on and after each start until it is removed. Packets that are on their way
    /// may still go where they went before.
    ///
    /// # Errors
    /// [`PortError::Unsupported`] if no table of the device can do it, [`PortError::TableFull`],
    /// [`PortError::OutOfRange`] for a queue that the port does not have.
    pub fn add_flow(&mut self, rule: &FlowRule) -> Result<FlowId, PortError> {
        let (hw, setup) = self.parts();
        setup.flows.add(hw, rule)
    }

    /// Removes a flow rule; [`PortError::UnknownFlow`] if it is not there.
    pub fn remove_flow(&mut self, id: FlowId) -> Result<(), PortError> {
        let (hw, setup) = self.parts();
        setup.flows.remove(hw, id)
    }
}
