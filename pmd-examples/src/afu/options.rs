//! Which card, and how it is reached.

use std::path::PathBuf;

use clap::Args;
use pmd_afu_model::AfuKind;
use pmd_afu_model::command::Command as Order;
use vfio_hal::backend::vfio::{Api, Token};

/// Which card, and how it is reached.
#[derive(Args)]
#[command(next_help_heading = "Card")]
pub(crate) struct SourceArgs {
    /// Card of this machine, bound to vfio-pci (`pmd bind`): PCI address, with or without domain
    #[arg(short = 'a', long = "allow", global = true, value_name = "BDF", conflicts_with = "socket")]
    pub(super) allow: Option<String>,
    /// Card that another process serves (`pmd serve afu`): its socket
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Interface of the kernel to open the card by: auto, iommufd, type1, or noiommu, where it reaches all memory
    #[arg(long, global = true, default_value_t, value_name = "API")]
    pub(super) vfio_api: Api,
    /// The secret that a physical function shares with its virtual ones, a UUID
    #[arg(long, global = true, value_name = "UUID")]
    pub(super) vfio_vf_token: Option<Token>,
    /// The model's accelerators, one a port, up to four: nlb0, he-lpbk, he-mem, dummy, stream
    #[arg(
        long,
        global = true,
        value_delimiter = ',',
        default_value = "he-lpbk,he-mem,nlb0,stream",
        value_name = "AFU,..."
    )]
    pub(super) model: Vec<AfuKind>,
    /// Something that happens to the model before the command, such as "corrupt 0 17" (see `pmd serve afu --control`);
    /// repeat for more
    #[arg(long, global = true, value_name = "ORDER")]
    pub(super) order: Vec<Order>,
    /// Use 4 KiB pages even if there are hugepages
    #[arg(long, global = true)]
    pub(super) no_huge: bool,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}
