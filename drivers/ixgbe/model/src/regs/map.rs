//! The register map: where each register of the 82599 is, which bits software may write, what a reset leaves.
//!
//! One line a register, grouped as in chapter 8 of the datasheet. [`Reg`] names them; the rest of the model never
//! sees an offset.
//!
//! Neighbours: [`file`](super::file) stores the values, [`dispatch`](crate::dispatch) gives the active ones meaning.

/// What an access does when no other code looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reads give what was written, under the write mask.
    Rw,
    /// Writes do nothing; the device sets it.
    Ro,
    /// A counter: a read gives the value and sets it to 0, writes do nothing.
    Rc,
    /// Writes act, reads give 0.
    Wo,
}

/// One register or array of registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) reg: Reg,
    pub(crate) name: &'static str,
    /// Byte offset of element 0.
    pub(crate) offset: u32,
    /// Bytes between elements.
    pub(crate) stride: u32,
    pub(crate) count: u32,
    /// Elements from this index on are in a second block at this offset (queues 64 and up, EITR 24 and up).
    pub(crate) split: Option<(u32, u32)>,
    /// A second address of the first elements: (offset, stride, count).
    pub(crate) alias: Option<(u32, u32, u32)>,
    pub(crate) access: Access,
    /// Bits that a write changes.
    pub(crate) mask: u32,
    /// The value after reset.
    pub(crate) reset: u32,
}

impl Entry {
    const fn at(reg: Reg, name: &'static str, offset: u32) -> Entry {
        Entry {
            reg,
            name,
            offset,
            stride: 4,
            count: 1,
            split: None,
            alias: None,
            access: Access::Rw,
            mask: u32::MAX,
            reset: 0,
        }
    }
    const fn array(self, count: u32, stride: u32) -> Entry {
        Entry { count, stride, ..self }
    }
    const fn split(self, from: u32, offset: u32) -> Entry {
        Entry { split: Some((from, offset)), ..self }
    }
    const fn alias(self, offset: u32, stride: u32, count: u32) -> Entry {
        Entry { alias: Some((offset, stride, count)), ..self }
    }
    const fn mask(self, mask: u32) -> Entry {
        Entry { mask, ..self }
    }
    const fn reset(self, reset: u32) -> Entry {
        Entry { reset, ..self }
    }
    const fn ro(self) -> Entry {
        Entry { access: Access::Ro, ..self }
    }
    const fn rc(self) -> Entry {
        Entry { access: Access::Rc, ..self }
    }
    const fn wo(self) -> Entry {
        Entry { access: Access::Wo, ..self }
    }

    /// Returns the offset of element `index`, which the caller knows to exist.
    pub(crate) const fn offset_of(&self, index: u32) -> u32 {
        match self.split {
            Some((from, second)) if index >= from => second + (index - from) * self.stride,
            _ => self.offset + index * self.stride,
        }
    }
}

macro_rules! registers {
    ($( $name:ident = $offset:literal $( .$method:ident( $($arg:expr),* ) )* ; )*) => {
        /// Every register the model has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub(crate) enum Reg { $( $name, )* }

        /// The map, in the order of [`Reg`].
        pub(crate) static ENTRIES: &[Entry] = &[
            $( Entry::at(Reg::$name, stringify!($name), $offset) $( .$method( $($arg),* ) )* ),*
        ];
    };
}

registers! {
    // 8.2.3.1 General control
    Ctrl = 0x0.alias(0x4, 4, 1).mask(0x0400_000C);
    Status = 0x8.ro().reset(0x0008_0000);
    CtrlExt = 0x18.mask(0x1403_C000);
    Esdp = 0x20;
    I2cctl = 0x28.mask(0xA).reset(0xF);
    Frtimer = 0x48.ro();
    Tcptimer = 0x4C;
    Ledctl = 0x200.mask(0xCFCF_CFCF);
    Exvet = 0x5078.reset(0x8100_0000);

    // 8.2.3.2 EEPROM and flash
    Eec = 0x10010;
    Eerd = 0x10014;
    Fla = 0x1001C.reset(0x4);
    Eemngctl = 0x10110;
    Eemngdata = 0x10114;
    Flmngctl = 0x10118;
    Flmngdata = 0x1011C;
    Flmngcnt = 0x10120;
    Flop = 0x1013C;
    Grc = 0x10200.mask(0x3);
    Sramrel = 0x10210.ro();

    // 8.2.3.3 Flow control
    Pfctop = 0x3008;
    Fcttv = 0x3200.array(4, 4);
    Fcrtl = 0x3220.array(8, 4).mask(0x8007_FFF0);
    Fcrth = 0x3260.array(8, 4).mask(0x8007_FFF0);
    Fcrtv = 0x32A0.mask(0xFFFF);
    Tfcs = 0xCE00.ro();
    Fccfg = 0x3D00.mask(0x18);

    // 8.2.3.4 PCIe
    Gcr = 0x11000;
    Gscl1 = 0x11010;
    Gscl2 = 0x11014;
    Gscl5 = 0x11030.array(4, 4);
    Gscn = 0x11020.array(4, 4).ro();
    Factps = 0x10150.ro();
    Pcieanactl = 0x11040;
    Swsm = 0x10140.mask(0x7);
    Fwsm = 0x10148.ro();
    Gssr = 0x10160;
    GcrExt = 0x11050;
    Mrevid = 0x11064.ro().reset(0x1);
    Picause = 0x110B0.ro();
    Piena = 0x110B8;

    // 8.2.3.5 Interrupts
    Eicr = 0x800;
    Eics = 0x808;
    Eims = 0x880;
    Eimc = 0x888.wo();
    Eiac = 0x810.mask(0x4000_FFFF);
    Eiam = 0x890;
    EicsEx = 0xA90.array(2, 4);
    EimsEx = 0xAA0.array(2, 4);
    EimcEx = 0xAB0.array(2, 4).wo();
    EiamEx = 0xAD0.array(2, 4);
    EicrEx = 0xA80.array(2, 4);
    Eitr = 0x820.array(129, 4).split(24, 0x12300).mask(0x81FF_8FF8);
    Eitrsel = 0x894;
    Ivar = 0x900.array(64, 4).mask(0xBFBF_BFBF);
    IvarMisc = 0xA00.mask(0xBFBF);
    Gpie = 0x898.mask(0xC000_FFF7);
    Pbacl = 0x110C0.array(8, 4);
    Pbaclr0 = 0x11068;
    Rscint = 0x12000.array(128, 4);

    // 8.2.3.7 Receive filters
    Fctrl = 0x5080.mask(0x0000_3782);
    Vlnctrl = 0x5088.mask(0x7000_FFFF).reset(0x8100);
    Mcstctrl = 0x5090.mask(0x7);
    Psrtype = 0xEA00.array(64, 4).alias(0x5480, 4, 16).mask(0xE000_1F30);
    Rxcsum = 0x5000.mask(0x3000);
    Rfctl = 0x5008;
    Mta = 0x5200.array(128, 4);
    Ral = 0xA200.array(128, 8).alias(0x5400, 8, 16);
    Rah = 0xA204.array(128, 8).alias(0x5404, 8, 16).mask(0x8000_FFFF);
    Mpsar = 0xA600.array(256, 4);
    Vfta = 0xA000.array(128, 4);
    Mrqc = 0x5818;
    Rqtc = 0xEC70.mask(0x7777_7777);
    Rssrk = 0x5C80.array(10, 4);
    Reta = 0x5C00.array(32, 4).mask(0x0F0F_0F0F);
    Saqf = 0xE000.array(128, 4);
    Daqf = 0xE200.array(128, 4);
    Sdpqf = 0xE400.array(128, 4);
    Ftqf = 0xE600.array(128, 4).mask(0xFE00_3F1F);
    L34timir = 0xE800.array(128, 4);
    Etqf = 0x5128.array(8, 4);
    Etqs = 0xEC00.array(8, 4);
    Synqf = 0xEC30;
    Llithresh = 0xEC90;
    Uta = 0xF400.array(128, 4);

    // Flow director, 8.2.3.21
    Fdirctrl = 0xEE00;
    Fdirsipv6 = 0xEE0C.array(3, 4);
    Fdiripsa = 0xEE18;
    Fdiripda = 0xEE1C;
    Fdirport = 0xEE20;
    Fdirvlan = 0xEE24;
    Fdirhash = 0xEE28;
    Fdircmd = 0xEE2C;
    Fdirfree = 0xEE38;
    Fdirdip4m = 0xEE3C;
    Fdirsip4m = 0xEE40;
    Fdirtcpm = 0xEE44;
    Fdirudpm = 0xEE48;
    Fdirlen = 0xEE4C.rc();
    Fdirustat = 0xEE50.rc();
    Fdirfstat = 0xEE54.rc();
    Fdirmatch = 0xEE58.rc();
    Fdirmiss = 0xEE5C.rc();
    Fdirhkey = 0xEE68.reset(0x8000_0001);
    Fdirskey = 0xEE6C.reset(0x8000_0001);
    Fdirm = 0xEE70.mask(0x3F);
    Fdirip6m = 0xEE74;

    // 8.2.3.8 Receive DMA
    Rdbal = 0x1000.array(128, 0x40).split(64, 0xD000).mask(0xFFFF_FF80);
    Rdbah = 0x1004.array(128, 0x40).split(64, 0xD004);
    Rdlen = 0x1008.array(128, 0x40).split(64, 0xD008).mask(0x000F_FF80);
    DcaRxctrl = 0x100C.array(128, 0x40).split(64, 0xD00C).alias(0x2200, 4, 16).reset(0xA200);
    Rdh = 0x1010.array(128, 0x40).split(64, 0xD010).ro();
    Srrctl = 0x1014.array(128, 0x40).split(64, 0xD014).alias(0x2100, 4, 16).mask(0x1FC0_3F7F).reset(0x402);
    Rdt = 0x1018.array(128, 0x40).split(64, 0xD018).mask(0xFFFF);
    Rxdctl = 0x1028.array(128, 0x40).split(64, 0xD028).mask(0x4600_FFFF);
    Rscctl = 0x102C.array(128, 0x40).split(64, 0xD02C).mask(0xD);
    Rdrxctl = 0x2F00.mask(0x3FFE_FFF7).reset(0x0010_0000);
    Qde = 0x2F04.mask(0x3_7F01);
    Rxpbsize = 0x3C00.array(8, 4).mask(0x000F_FC00);
    Rxctrl = 0x3000.mask(0x3);
    Rscdbu = 0x3028.mask(0xFF);
    Rxmemwrap = 0x3190.ro();
    Rddcc = 0x2F20;
    Dropen = 0x3D04;

    // 8.2.3.9 Transmit
    Dmatxctl = 0x4A80.mask(0xFFFF_006B).reset(0x8100_0000);
    Dtxtcpflgl = 0x4A88.mask(0x0FFF_0FFF).reset(0x0F76_0FF6);
    Dtxtcpflgh = 0x4A8C.mask(0xFFF).reset(0xF7F);
    Dtxmxszrq = 0x8100.mask(0xFFF).reset(0x10);
    Tdbal = 0x6000.array(128, 0x40).mask(0xFFFF_FF80);
    Tdbah = 0x6004.array(128, 0x40);
    Tdlen = 0x6008.array(128, 0x40).mask(0x000F_FF80);
    DcaTxctrl = 0x600C.array(128, 0x40).reset(0x2A00);
    Tdh = 0x6010.array(128, 0x40).mask(0xFFFF);
    Tdt = 0x6018.array(128, 0x40).mask(0xFFFF);
    Txdctl = 0x6028.array(128, 0x40).mask(0x067F_7F7F);
    Tdwbal = 0x6038.array(128, 0x40).mask(0xFFFF_FFFD);
    Tdwbah = 0x603C.array(128, 0x40);
    Txpbsize = 0xCC00.array(8, 4).mask(0x000F_FC00);
    Txpbthresh = 0x4950.array(8, 4).mask(0x3FF);
    Mtqc = 0x8120.mask(0xF);
    Mngtxmap = 0xCD10;
    Tipg = 0xCB00;
    Secbuf = 0x8808;

    // 8.2.3.10 DCB
    Rtrpcs = 0x2430;
    Rttdcs = 0x4900.mask(0x0080_005F);
    Rttpcs = 0xCD00;
    Rtrup2tc = 0x3020.mask(0x00FF_FFFF);
    Rttup2tc = 0xC800.mask(0x00FF_FFFF);
    Rtrpt4c = 0x2140.array(8, 4);
    Rtrpt4s = 0x2160.array(8, 4).ro();
    Rttdt2c = 0x4910.array(8, 4);
    Rttdt2s = 0x4930.array(8, 4).ro();
    Rttpt2c = 0xCD20.array(8, 4);
    Rttpt2s = 0xCD40.array(8, 4).ro();
    Rttdqsel = 0x4904.mask(0x7F);
    Rttdt1c = 0x4908;
    Rttdt1s = 0x490C.ro();
    Rttdtecc = 0x4990;
    Rttbcnrm = 0x4980;
    Rttbcnrc = 0x4984;
    Rttbcnrs = 0x4988;
    Rttbcnrd = 0x498C;
    Txllq = 0x82E0.array(4, 4);
    Rtfrtimer = 0x8B14;

    // 8.2.3.12 Security
    Sectxctrl = 0x8800.mask(0x7).reset(0x1);
    Sectxstat = 0x8804.ro();
    Sectxminifg = 0x8810.reset(0x1);
    Secrxctrl = 0x8D00.mask(0x3).reset(0x1);
    Secrxstat = 0x8D04.ro();
    Lsectxcap = 0x8A00.ro();
    Lsecrxcap = 0x8F00.ro();
    Lsectxctrl = 0x8A04;
    Lsecrxctrl = 0x8F04;

    // 8.2.3.16 IEEE 1588
    Tsyncrxctl = 0x5188.mask(0xFE);
    Rxstmpl = 0x51E8.ro();
    Rxstmph = 0x51A4.ro();
    Rxsatrl = 0x51A0.ro();
    Rxsatrh = 0x51A8.ro();
    Rxmtrl = 0x5120.reset(0x319 << 16);
    Tsynctxctl = 0x8C00.mask(0xFE);
    Txstmpl = 0x8C04.ro();
    Txstmph = 0x8C08.ro();
    Systiml = 0x8C0C;
    Systimh = 0x8C10;
    Timinca = 0x8C14;
    Timadjl = 0x8C18;
    Timadjh = 0x8C1C;
    Tsauxc = 0x8C20;
    Trgttiml0 = 0x8C24;
    Trgttimh0 = 0x8C28;
    Trgttiml1 = 0x8C2C;
    Trgttimh1 = 0x8C30;
    Clktiml = 0x8C34;
    Clktimh = 0x8C38;
    Auxstmpl0 = 0x8C3C.ro();
    Auxstmph0 = 0x8C40.ro();
    Auxstmpl1 = 0x8C44.ro();
    Auxstmph1 = 0x8C48.ro();

    // 8.2.3.22 MAC
    Pcs1gcfig = 0x4200;
    Pcs1glctl = 0x4208;
    Pcs1glsta = 0x420C.ro();
    Pcs1gana = 0x4218;
    Pcs1ganlp = 0x421C.ro();
    Pcs1gannp = 0x4220;
    Pcs1ganlpnp = 0x4224.ro();
    Hlreg0 = 0x4240.reset(0x0801_2C0B);
    Hlreg1 = 0x4244.ro();
    Pap = 0x4248.reset(0xFFFF);
    Maca = 0x424C.ro();
    Apae = 0x4250;
    Ard = 0x4254;
    Ais = 0x4258;
    Msca = 0x425C;
    Msrwd = 0x4260.mask(0xFFFF);
    Mladd = 0x4264;
    Maxfrs = 0x4268.mask(0xFFFF_0000).reset(0x05EE_0000);
    Pcss1 = 0x4288.ro();
    Pcss2 = 0x428C.ro();
    Xpcss = 0x4290.ro();
    Mflcn = 0x4294.mask(0xF);
    Serdesc = 0x4298;
    Macs = 0x429C.ro();
    Autoc = 0x42A0;
    Links = 0x42A4.ro();
    Links2 = 0x4324.ro();
    Autoc2 = 0x42A8;
    Autoc3 = 0x42AC;
    Anlp1 = 0x42B0.ro();
    Anlp2 = 0x42B4.ro();
    Mmngc = 0x42D0;
    Anlpnp1 = 0x42D4.ro();
    Anlpnp2 = 0x42D8.ro();
    Krpcsfc = 0x42E0.ro();
    Krpcss = 0x42E4.ro();
    Fecs1 = 0x42E8.ro();
    Fecs2 = 0x42EC.ro();
    Macc = 0x4330;
    Mpvc = 0x4318.ro();
    Mdftc1 = 0x42B8;
    Mdftc2 = 0x42C0;
    Mdftfifo1 = 0x42C4;
    Mdftfifo2 = 0x42C8;
    Mdfts = 0x42CC.ro();
    Atlasctl = 0x4800;
    Smadarctl = 0x14F10;
    Corectl = 0x14F00;

    // 8.2.3.23 Statistics
    Crcerrs = 0x4000.rc();
    Illerrc = 0x4004.rc();
    Errbc = 0x4008.rc();
    Mspdc = 0x4010.rc();
    Mlfc = 0x4034.rc();
    Mrfc = 0x4038.rc();
    Rlec = 0x4040.rc();
    Mpc = 0x3FA0.array(8, 4).rc();
    Rnbc = 0x3FC0.array(8, 4).rc();
    Lxontxc = 0x3F60.rc();
    Lxofftxc = 0x3F68.rc();
    Lxonrxc = 0x41A4.rc();
    Lxoffrxc = 0x41A8.rc();
    Pxontxc = 0x3F00.array(8, 4).rc();
    Pxofftxc = 0x3F20.array(8, 4).rc();
    Pxonrxc = 0x4140.array(8, 4).rc();
    Pxoffrxc = 0x4160.array(8, 4).rc();
    Pxon2offc = 0x3240.array(8, 4).rc();
    Prc = 0x405C.array(6, 4).rc();
    Gprc = 0x4074.rc();
    Bprc = 0x4078.rc();
    Mprc = 0x407C.rc();
    Gptc = 0x4080.rc();
    Gorcl = 0x4088.rc();
    Gorch = 0x408C.rc();
    Gotcl = 0x4090.rc();
    Gotch = 0x4094.rc();
    Rxnfgpc = 0x41B0.rc();
    Rxnfgbcl = 0x41B4.rc();
    Rxnfgbch = 0x41B8.rc();
    Ruc = 0x40A4.rc();
    Rfc = 0x40A8.rc();
    Roc = 0x40AC.rc();
    Rjc = 0x40B0.rc();
    Mngprc = 0x40B4.rc();
    Mngpdc = 0x40B8.rc();
    Mngptc = 0xCF90.rc();
    Torl = 0x40C0.rc();
    Torh = 0x40C4.rc();
    Tpr = 0x40D0.rc();
    Tpt = 0x40D4.rc();
    Ptc = 0x40D8.array(6, 4).rc();
    Mptc = 0x40F0.rc();
    Bptc = 0x40F4.rc();
    Xec = 0x4120.rc();
    Ssvpc = 0x8780.rc();
    Rxdgpc = 0x2F50.rc();
    Rxdgbcl = 0x2F54.rc();
    Rxdgbch = 0x2F58.rc();
    Txdgpc = 0x87A0.rc();
    Txdgbcl = 0x87A4.rc();
    Txdgbch = 0x87A8.rc();
    Rxdstatctrl = 0x2F40;
    Rqsmr = 0x2300.array(32, 4).mask(0x0F0F_0F0F);
    Tqsm = 0x8600.array(32, 4).mask(0x0F0F_0F0F);
    Qprc = 0x1030.array(16, 0x40).rc();
    Qprdc = 0x1430.array(16, 0x40).rc();
    Qbrcl = 0x1034.array(16, 0x40).rc();
    Qbrch = 0x1038.array(16, 0x40).rc();
    Qptc = 0x6030.array(16, 0x40).rc();
    Qbtcl = 0x8700.array(16, 8).rc();
    Qbtch = 0x8704.array(16, 8).rc();
    Fccrc = 0x5118.rc();
    Fcoerpdc = 0x241C.rc();
    Fclast = 0x2424.rc();
    Fcoeprc = 0x2428.rc();
    Fcoedwrc = 0x242C.rc();
    Fcoeptc = 0x8784.rc();
    Fcoedwtc = 0x8788.rc();

    // 8.2.3.24 Wake-up
    Wuc = 0x5800;
    Wufc = 0x5808;
    Wus = 0x5810;
    Ipav = 0x5838;
    Ip4at = 0x5840.array(4, 8);
    Ip6at = 0x5880.array(4, 4);
    Wupl = 0x5900.ro();
    Wupm = 0x5A00.array(32, 4).ro();
    Fhft = 0x9000.array(256, 4);

    // 8.2.3.25 Management: no firmware runs, so the filters are only stored
    Manc = 0x5820;
    Mfval = 0x5824;
    Manc2h = 0x5860;
    Mdef = 0x5890.array(8, 4);
    Hicr = 0x15F00.ro();
    Fwsts = 0x15F0C.ro();

    // 8.2.3.27 Virtualisation
    VtCtl = 0x51B0;
    Pfmailbox = 0x4B00.array(64, 4);
    Pfmbmem = 0x13000.array(1024, 4);
    Pfmbicr = 0x710.array(4, 4);
    Pfmbimr = 0x720.array(4, 4);
    Pfvflre0 = 0x600.ro();
    Pfvflre1 = 0x1C0.ro();
    Pfvflrec = 0x700.array(2, 4).wo();
    Vfre = 0x51E0.array(2, 4);
    Vfte = 0x8110.array(2, 4);
    Vmolr = 0xF000.array(64, 4);
    Vlvf = 0xF100.array(64, 4);
    Vlvfb = 0xF200.array(128, 4);
    Vmvir = 0x8000.array(64, 4);
    Vmecm = 0x8790.array(2, 4);
    Vmtxsw = 0x5180.array(2, 4);
    Mrctl = 0xF600.array(4, 4);
    Vmrvlan = 0xF610.array(8, 4);
    Vmrvm = 0xF630.array(8, 4);
    Pfvfspoof = 0x8200.array(8, 4);
    Pfdtxgswc = 0x8220.mask(0x1);
    Wqbrrx = 0x2FB0.array(4, 4);
    Wqbrtx = 0x8130.array(4, 4);

    // FCoE: no offload, the registers are stored
    Fcrxctrl = 0x5100;
    Fcflt = 0x5108;
    Fcfltrw = 0x5110;
    Fcparam = 0x51D8;
    Fcptrl = 0x2410;
    Fcptrh = 0x2414;
    Fcbuff = 0x2418;
    Fcdmarw = 0x2420;
    Fcrecpl = 0xED00;
    Fcreta = 0xED10.array(8, 4);
    Teoff = 0x4A94;
    Tsoff = 0x4A98;
    Reoff = 0x5158;
    Rsoff = 0x51F8;
}
