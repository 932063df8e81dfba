//! Performance counters.

use core::time::Duration;

use vfio_hal::Clock;
use vfio_hal::poll::Poll;
use vfio_hal::regs::Block;

use super::Fme;
use crate::AfuError;
use crate::regs::fme::perf::{
    CACHE_CNTR0, CACHE_CNTR1, CACHE_CTRL, CLK_CNTR, FAB_CNTR, FAB_CTRL, Perf, VTD_CNTR, VTD_CTRL,
    VTD_SIP_CNTR, VTD_SIP_CTRL,
};

/// How long a counter may take to show another event. Linux waits 30 µs; a device at the other end of a socket is slower.
const SELECT_LIMIT: Duration = Duration::from_millis(10);

/// Declares an enumeration of events with their numbers and names.
macro_rules! events {
    ($($(#[$doc:meta])* $name:ident { $($(#[$event_doc:meta])* $event:ident = $number:literal $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$event_doc])* $event = $number,)* }

        impl $name {
            /// Every event.
            pub const ALL: &'static [$name] = &[$($name::$event),*];

            /// Returns the event's name, as Linux's perf has it.
            pub const fn name(self) -> &'static str {
                match self { $($name::$event => $text,)* }
            }
        }
    )*};
}

events! {
    /// What the cache of an integrated FPGA counts.
    CacheEvent {
        /// Reads that hit.
        ReadHit = 0 "cache_read_hit",
        /// Writes that hit.
        WriteHit = 1 "cache_write_hit",
        /// Reads that missed.
        ReadMiss = 2 "cache_read_miss",
        /// Writes that missed.
        WriteMiss = 3 "cache_write_miss",
        /// Requests that were held.
        HoldRequest = 5 "cache_hold_request",
        /// Contention for the data array's write port.
        DataWritePortContention = 6 "cache_data_write_port_contention",
        /// Contention for the tag array's write port.
        TagWritePortContention = 7 "cache_tag_write_port_contention",
        /// Stalled requests to be sent.
        TxRequestStall = 8 "cache_tx_req_stall",
        /// Stalled requests received.
        RxRequestStall = 9 "cache_rx_req_stall",
        /// Evicted lines.
        Eviction = 10 "cache_eviction",
    }
    /// What the fabric counts.
    FabricEvent {
        /// Reads through PCIe 0.
        Pcie0Read = 0 "fab_pcie0_read",
        /// Writes through PCIe 0.
        Pcie0Write = 1 "fab_pcie0_write",
        /// Reads through PCIe 1; integrated only.
        Pcie1Read = 2 "fab_pcie1_read",
        /// Writes through PCIe 1; integrated only.
        Pcie1Write = 3 "fab_pcie1_write",
        /// Reads through the coherent link; integrated only.
        UpiRead = 4 "fab_upi_read",
        /// Writes through the coherent link; integrated only.
        UpiWrite = 5 "fab_upi_write",
        /// Register reads.
        MmioRead = 6 "fab_mmio_read",
        /// Register writes.
        MmioWrite = 7 "fab_mmio_write",
    }
    /// What the IOMMU of an integrated FPGA counts.
    VtdEvent {
        /// Memory reads translated.
        MemoryRead = 0 "vtd_mem_read_trans",
        /// Memory writes translated.
        MemoryWrite = 1 "vtd_mem_write_trans",
        /// Reads that hit the device TLB.
        TlbReadHit = 2 "vtd_tlb_read_hit",
        /// Writes that hit the device TLB.
        TlbWriteHit = 3 "vtd_tlb_write_hit",
        /// Fills with 4 KiB pages.
        Fill4K = 4 "vtd_tlb_4k_fill",
        /// Fills with 2 MiB pages.
        Fill2M = 5 "vtd_tlb_2m_fill",
        /// Fills with 1 GiB pages.
        Fill1G = 6 "vtd_tlb_1g_fill",
    }
    /// What the system's part of that IOMMU counts.
    SipEvent {
        /// Hits of 4 KiB pages.
        Iotlb4KHit = 0 "vtd_sip_iotlb_4k_hit",
        /// Hits of 2 MiB pages.
        Iotlb2MHit = 1 "vtd_sip_iotlb_2m_hit",
        /// Hits of 1 GiB pages.
        Iotlb1GHit = 2 "vtd_sip_iotlb_1g_hit",
        /// Page walk hits, level 3.
        WalkL3Hit = 3 "vtd_sip_slpwc_l3_hit",
        /// Page walk hits, level 4.
        WalkL4Hit = 4 "vtd_sip_slpwc_l4_hit",
        /// Root and context cache hits.
        ContextHit = 5 "vtd_sip_rcc_hit",
        /// Misses of 4 KiB pages.
        Iotlb4KMiss = 6 "vtd_sip_iotlb_4k_miss",
        /// Misses of 2 MiB pages.
        Iotlb2MMiss = 7 "vtd_sip_iotlb_2m_miss",
        /// Misses of 1 GiB pages.
        Iotlb1GMiss = 8 "vtd_sip_iotlb_1g_miss",
        /// Page walk misses, level 3.
        WalkL3Miss = 9 "vtd_sip_slpwc_l3_miss",
        /// Page walk misses, level 4.
        WalkL4Miss = 10 "vtd_sip_slpwc_l4_miss",
        /// Root and context cache misses.
        ContextMiss = 11 "vtd_sip_rcc_miss",
    }
}

impl CacheEvent {
    /// The write channel counts these, the read channel all others (Linux, `cache_read_event_counter`).
    fn is_of_writes(self) -> bool {
        matches!(
            self,
            CacheEvent::WriteHit
                | CacheEvent::WriteMiss
                | CacheEvent::DataWritePortContention
                | CacheEvent::TagWritePortContention
        )
    }
}

impl FabricEvent {
    /// Returns whether only integrated FPGAs count it.
    pub const fn is_integrated(self) -> bool {
        matches!(
            self,
            FabricEvent::Pcie1Read | FabricEvent::Pcie1Write | FabricEvent::UpiRead | FabricEvent::UpiWrite
        )
    }
}

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PerfEvent {
    /// Clocks of the fabric.
    Clock,
    /// Of the cache.
    Cache(CacheEvent),
    /// Of the fabric: of all ports, or of one.
    Fabric(FabricEvent, Option<u8>),
    /// Of the IOMMU.
    Vtd(VtdEvent),
    /// Of the system's part of the IOMMU.
    Sip(SipEvent),
}

impl PerfEvent {
    /// Returns the event's name.
    pub const fn name(self) -> &'static str {
        match self {
            PerfEvent::Clock => "clock",
            PerfEvent::Cache(event) => event.name(),
            PerfEvent::Fabric(event, _) => event.name(),
            PerfEvent::Vtd(event) => event.name(),
            PerfEvent::Sip(event) => event.name(),
        }
    }
}

impl Fme {
    /// Reads a counter.
    pub fn perf(&self, event: PerfEvent) -> Result<u64, AfuError> {
        let clock = self.card.0.clock.clone();
        self.with(|fme| {
            let (integrated, block) =
                fme.perf.as_mut().ok_or(AfuError::Missing { what: "performance counters" })?;
            let only_integrated = match event {
                PerfEvent::Clock => false,
                PerfEvent::Fabric(event, _) => event.is_integrated(),
                _ => true,
            };
            if only_integrated && !*integrated {
                return Err(AfuError::Missing {
                    what: "counter of that kind: only integrated FPGAs have it",
                });
            }
            read(block, &*clock, event)
        })
    }

    /// Returns every counter that the card has, over all ports.
    pub fn perf_events(&self) -> Result<alloc::vec::Vec<PerfEvent>, AfuError> {
        let integrated = self
            .with(|fme| Ok(fme.perf.as_ref().ok_or(AfuError::Missing { what: "performance counters" })?.0))?;
        let fabric = FabricEvent::ALL.iter().filter(|event| integrated || !event.is_integrated());
        let mut events = alloc::vec![PerfEvent::Clock];
        events.extend(fabric.map(|&event| PerfEvent::Fabric(event, None)));
        if integrated {
            events.extend(CacheEvent::ALL.iter().map(|&event| PerfEvent::Cache(event)));
            events.extend(VtdEvent::ALL.iter().map(|&event| PerfEvent::Vtd(event)));
            events.extend(SipEvent::ALL.iter().map(|&event| PerfEvent::Sip(event)));
        }
        Ok(events)
    }

    /// Freezes all counters but the clock, or lets them go on.
    pub fn freeze_perf(&self, freeze: bool) -> Result<(), AfuError> {
        self.control_perf(
            |cache| cache.with_freeze(freeze),
            |fabric| fabric.with_freeze(freeze),
            |vtd| vtd.with_freeze(freeze),
            |sip| sip.with_freeze(freeze),
        )
    }

    /// Sets all counters but the clock to 0.
    pub fn reset_perf(&self) -> Result<(), AfuError> {
        for reset in [true, false] {
            self.control_perf(
                |cache| cache.with_reset(reset),
                |fabric| fabric.with_reset(reset),
                |vtd| vtd.with_reset(reset),
                |sip| sip.with_reset(reset),
            )?;
        }
        Ok(())
    }

    fn control_perf(
        &self,
        cache: impl FnOnce(CACHE_CTRL) -> CACHE_CTRL,
        fabric: impl FnOnce(FAB_CTRL) -> FAB_CTRL,
        vtd: impl FnOnce(VTD_CTRL) -> VTD_CTRL,
        sip: impl FnOnce(VTD_SIP_CTRL) -> VTD_SIP_CTRL,
    ) -> Result<(), AfuError> {
        self.with(|fme| {
            let (integrated, block) =
                fme.perf.as_mut().ok_or(AfuError::Missing { what: "performance counters" })?;
            block.modify(fabric);
            if *integrated {
                block.modify(cache);
                block.modify(vtd);
                block.modify(sip);
            }
            Ok(())
        })
    }
}

fn read(block: &mut Block<Perf>, clock: &dyn Clock, event: PerfEvent) -> Result<u64, AfuError> {
    let poll =
        Poll::new(clock, "performance counter: event selected", SELECT_LIMIT).every(Duration::from_micros(1));
    Ok(match event {
        PerfEvent::Clock => block.read::<CLK_CNTR>().bits(),
        PerfEvent::Cache(event) => {
            let number = event as u64;
            let write = event.is_of_writes();
            block.modify(|ctrl: CACHE_CTRL| ctrl.with_write_channel(write).with_event(number));
            let first = poll.register(block.single(), |counter: CACHE_CNTR0| counter.event() == number)?;
            let second = poll.register(block.single(), |counter: CACHE_CNTR1| counter.event() == number)?;
            first.count() + second.count()
        }
        PerfEvent::Fabric(event, port) => {
            let number = event as u64;
            if let Some(port) = port.filter(|&port| port > 3) {
                return Err(AfuError::NoPort { port });
            }
            block.modify(|ctrl: FAB_CTRL| {
                let port_id = port.map_or(0, u64::from);
                ctrl.with_event(number).with_port_filter(port.is_some()).with_port(port_id)
            });
            poll.register(block.single(), |counter: FAB_CNTR| counter.event() == number)?.count()
        }
        PerfEvent::Vtd(event) => {
            let number = event as u64;
            block.modify(|ctrl: VTD_CTRL| ctrl.with_event(number));
            poll.register(block.single(), |counter: VTD_CNTR| counter.event() == number)?.count()
        }
        PerfEvent::Sip(event) => {
            let number = event as u64;
            block.modify(|ctrl: VTD_SIP_CTRL| ctrl.with_event(number));
            poll.register(block.single(), |counter: VTD_SIP_CNTR| counter.event() == number)?.count()
        }
    })
}
