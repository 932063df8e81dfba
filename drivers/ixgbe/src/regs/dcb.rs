//! Traffic classes and rates (datasheet 8.2.3.10, 7.7).

vfio_hal::registers! {
    in super::Ixgbe;

    /// Receive arbitration (8.2.3.10.1).
    pub RTRPCS @ 0x02430 RW { rrm: 1, rac: 2, lrpb: 18:16 }
    /// Transmit descriptor arbitration (8.2.3.10.2).
    pub RTTDCS @ 0x04900 RW {
        tdpac: 0, vmpac: 1, tdrm: 4,
        /// Stops the arbiter, to change what it works on.
        arbdis: 6,
        lttdesc: 19:17,
        bdpm: 22, bpbfsm: 23,
        speed_chg: 31,
    }
    /// Transmit packet arbitration (8.2.3.10.3).
    pub RTTPCS @ 0x0CD00 RW { tppac: 5, arbdis: 6, tprm: 8, arbd: 31:22 }
    /// Receive user priority to class (8.2.3.10.4).
    pub RTRUP2TC @ 0x03020 RW {
        up0: 2:0, up1: 5:3, up2: 8:6, up3: 11:9, up4: 14:12, up5: 17:15, up6: 20:18, up7: 23:21,
    }
    /// Transmit user priority to class (8.2.3.10.5).
    pub RTTUP2TC @ 0x0C800 RW {
        up0: 2:0, up1: 5:3, up2: 8:6, up3: 11:9, up4: 14:12, up5: 17:15, up6: 20:18, up7: 23:21,
    }
    /// Receive class weights (8.2.3.10.6).
    pub RTRPT4C @ 0x02140 + 4 * [8] RW { crq: 8:0, bwg: 11:9, mcl: 23:12, gsp: 30, lsp: 31 }
    /// Receive class credits (8.2.3.10).
    pub RTRPT4S @ 0x02160 + 4 * [8] RO;
    /// Transmit descriptor class weights (8.2.3.10.9).
    pub RTTDT2C @ 0x04910 + 4 * [8] RW { crq: 8:0, bwg: 11:9, mcl: 23:12, gsp: 30, lsp: 31 }
    /// Transmit descriptor class credits (8.2.3.10).
    pub RTTDT2S @ 0x04930 + 4 * [8] RO;
    /// Transmit packet class weights (8.2.3.10.10).
    pub RTTPT2C @ 0x0CD20 + 4 * [8] RW { crq: 8:0, bwg: 11:9, mcl: 23:12, gsp: 30, lsp: 31 }
    /// Transmit packet class credits (8.2.3.10).
    pub RTTPT2S @ 0x0CD40 + 4 * [8] RO;
    /// Which queue RTTDT1C and RTTBCNRC mean (8.2.3.10.13).
    pub RTTDQSEL @ 0x04904 RW { txdq_idx: 6:0 }
    /// Weight of the selected queue (8.2.3.10.14).
    pub RTTDT1C @ 0x04908 RW { crq: 13:0 }
    /// Credits of the selected queue (8.2.3.10).
    pub RTTDT1S @ 0x0490C RO;
    /// How far the rate limiter may fall behind (8.2.3.10).
    pub RTTBCNRM @ 0x04980 RW { mmw_size: 11:2 }
    /// Rate of the selected queue (8.2.3.10): link rate divided by `rf_int` + `rf_dec` / 2^14.
    pub RTTBCNRC @ 0x04984 RW { rf_dec: 13:0, rf_int: 23:14, rs_ena: 31 }
}
