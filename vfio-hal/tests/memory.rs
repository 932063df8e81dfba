//! Memory from the operating system: what is asked for, what comes of it, and that the answer says so.
//!
//! Tests that reserve hugepages run as root with KIT_ROOT_TESTS=1, and fail rather than skip then.

use std::fs;
use std::os::fd::AsRawFd;
use std::sync::Mutex;

use proptest::prelude::*;
use vfio_hal::device::DeviceError;
use vfio_hal::dma::memory::{
    Fallback, FileMemory, Info, Kind, Memlock, Memory, PAGE_1G, PAGE_2M, PAGE_4K, Pages, Request, Why,
    hugepage_pools, hugepage_pools_of_node,
};
use vfio_hal::dma::{DmaAccess, DmaError, IovaSpace, Region};

/// Hugepages belong to the whole system, so tests that count them take turns.
static HUGEPAGES: Mutex<()> = Mutex::new(());

fn turn() -> std::sync::MutexGuard<'static, ()> {
    HUGEPAGES.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn free_pages(page: u64) -> u64 {
    hugepage_pools().iter().find(|pool| pool.page == page).map_or(0, |pool| pool.free)
}

/// Every byte is there, zeroed, and keeps what is written.
fn check_usable(memory: FileMemory) -> Info {
    let info = memory.info();
    assert_eq!(memory.len() as u64, info.mapped);
    assert_eq!(memory.page_size(), info.page);
    assert!(memory.ptr().as_ptr().addr().is_multiple_of(info.page as usize));
    assert!(info.mapped >= info.requested && info.mapped - info.requested < info.page);
    let region = Region::alloc(&IovaSpace::new(), memory, DmaAccess::ReadWrite).unwrap();
    for offset in (0..region.len()).step_by(4096).chain([region.len() - 8]) {
        assert_eq!(region.read_u64(offset), Ok(0));
        region.write_u64(offset, !(offset as u64)).unwrap();
        assert_eq!(region.read_u64(offset), Ok(!(offset as u64)));
    }
    info
}

#[test]
fn page_sizes_follow_the_length() {
    let auto = |len, free_1g| Pages::Auto.size(len, free_1g);
    assert_eq!([auto(1, 9), auto(PAGE_4K, 9)], [PAGE_4K; 2]);
    assert_eq!([auto(PAGE_4K + 1, 9), auto(PAGE_2M, 9)], [PAGE_2M; 2]);
    assert_eq!(auto(3 << 20, 9), PAGE_2M, "3 MiB must not cost 1 GiB");
    assert_eq!([auto(PAGE_1G, 1), auto(2 * PAGE_1G, 2)], [PAGE_1G; 2]);
    assert_eq!(auto(PAGE_1G, 0), PAGE_2M, "there is none");
    assert_eq!(auto(2 * PAGE_1G, 1), PAGE_2M, "not enough of them");
    assert_eq!(auto(1000 << 20, 1), PAGE_1G, "little is wasted");
    assert_eq!(auto(800 << 20, 1), PAGE_2M);
    assert_eq!(auto(PAGE_1G + 1, 9), PAGE_2M, "half would be wasted");
    for (pages, size) in [(Pages::Size4K, PAGE_4K), (Pages::Size2M, PAGE_2M), (Pages::Size1G, PAGE_1G)] {
        assert_eq!(pages.size(3 << 20, 0), size, "what is asked for is tried");
    }
}

proptest! {
    #[test]
    fn no_length_wastes_much_of_a_large_page(len in 1u64.., free in any::<u64>()) {
        let page = Pages::Auto.size(len, free);
        prop_assert!(page < PAGE_1G || (len.div_ceil(page) <= free && len.div_ceil(page) * page - len <= len / 8));
        prop_assert!(page > PAGE_4K || len <= PAGE_4K);
    }
}

#[test]
fn small_pages_are_a_sealed_file_that_others_can_map() {
    let memory = Request::new(5000).pages(Pages::Size4K).alloc().unwrap();
    let info = memory.info();
    let expected = Info {
        requested: 5000,
        mapped: 8192,
        page: PAGE_4K,
        kind: Kind::Memfd,
        node: info.node,
        locked: false,
        fallback: None,
    };
    assert_eq!(info, expected);
    let backing = memory.backing().unwrap();
    assert_eq!(backing.offset, 0);
    // The same bytes, by another mapping of the file.
    let path = format!("/proc/self/fd/{}", backing.fd.as_raw_fd());
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    use std::os::unix::fs::FileExt;
    file.write_all_at(b"shared", 4096).unwrap();
    assert!(file.set_len(0).is_err(), "shrinking would take the pages away from the device's driver");
    assert!(file.set_len(1 << 20).is_err());
    drop(file);
    let region = Region::alloc(&IovaSpace::new(), memory, DmaAccess::Read).unwrap();
    let mut bytes = [0; 6];
    region.copy_out(4096, &mut bytes).unwrap();
    assert_eq!(&bytes, b"shared");
}

#[test]
fn impossible_lengths_are_errors() {
    assert_eq!(Request::new(0).alloc().unwrap_err(), DmaError::Length { len: 0, page: PAGE_4K });
    for len in [u64::MAX, i64::MAX as u64, 1 << 60] {
        for pages in [Pages::Auto, Pages::Size4K, Pages::Size1G] {
            assert!(Request::new(len).pages(pages).alloc().is_err(), "{len:#x}");
        }
    }
}

#[test]
fn falling_back_is_announced_and_only_then() {
    let _turn = turn();
    let free = free_pages(PAGE_2M);
    let memory = Request::new(3 << 20).pages(Pages::Size2M).alloc().unwrap();
    let info = check_usable(memory);
    match info.fallback {
        None => assert_eq!((info.page, info.mapped, info.locked), (PAGE_2M, 4 << 20, true)),
        Some(Fallback { wanted, why }) => {
            assert_eq!((info.page, info.mapped, info.kind), (PAGE_4K, 3 << 20, Kind::Memfd));
            assert_eq!(wanted, PAGE_2M);
            assert_eq!(why, Why::TooFew { free, need: 2 });
            assert!(free < 2);
            let text = info.to_string();
            assert!(text.contains("no pages of 2 MiB") && text.contains("vm.nr_hugepages"), "{text}");
        }
    }
}

#[test]
fn without_a_fallback_too_few_pages_are_an_error() {
    let _turn = turn();
    // More than any machine that runs this has reserved.
    let len = (free_pages(PAGE_2M) + (1 << 20)) * PAGE_2M;
    let request = Request::new(len).pages(Pages::Size2M);
    assert_eq!(request.exactly().alloc().unwrap_err(), DmaError::NoMemory { len, page: PAGE_2M });
    // Small pages are no huge file.
    for kind in [Kind::HugeMemfd, Kind::Hugetlbfs] {
        let error = request.only(kind).alloc().unwrap_err();
        assert!(matches!(error, DmaError::NoMemory { .. } | DmaError::Device(DeviceError::System { .. })));
    }
    let small = Request::new(1).pages(Pages::Size1G).only(Kind::Memfd).alloc().unwrap().info();
    assert_eq!((small.page, small.fallback), (PAGE_4K, None));
}

#[test]
fn the_node_is_the_one_asked_for_or_an_error() {
    let request = Request::new(1 << 16).pages(Pages::Size4K);
    match request.node(0).alloc() {
        Ok(memory) => assert_eq!(memory.info().node, Some(0)),
        Err(error) => assert!(hugepage_pools_of_node(0).is_empty(), "{error}"),
    }
    for node in [1023, 1024, u32::MAX] {
        assert_eq!(request.node(node).alloc().unwrap_err(), DmaError::NoNode { node });
        assert_eq!(hugepage_pools_of_node(node), []);
    }
}

/// Takes the right to lock without a limit from the calling thread, and limits the process to `limit` bytes.
fn limit_locking(limit: u64) {
    #[repr(C)]
    struct Header(u32, i32);
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = Header(VERSION_3, 0);
    // Effective, permitted, inheritable; for capabilities 0 to 31 and 32 to 63.
    let mut sets = [[0u32; 3]; 2];
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: capget and capset take a header and two sets, both live, for the calling thread; getrlimit and
    // setrlimit take a live rlimit.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()), 0);
        for set in &mut sets[0] {
            *set &= !(1 << 14);
        }
        assert_eq!(libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()), 0);
        assert_eq!(libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut old), 0);
        let new = libc::rlimit { rlim_cur: limit, rlim_max: old.rlim_max };
        assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &new), 0);
    }
}

#[test]
fn locked_memory_is_locked_and_the_limit_is_named_before_it_bites() {
    // On a thread of its own, which loses a right. No other test locks.
    let thread = std::thread::spawn(|| {
        const LIMIT: u64 = 256 << 10;
        limit_locking(LIMIT);
        let start = Memlock::read();
        assert_eq!((start.limit, start.privileged), (Some(LIMIT), false));
        let request = |len| Request::new(len).pages(Pages::Size4K).lock().alloc();
        let memory = request(64 << 10).unwrap();
        assert!(memory.info().locked);
        assert_eq!(Memlock::read().locked, start.locked + (64 << 10));
        let left = Memlock::read().left().unwrap();
        assert_eq!(request(left + 1).unwrap_err(), DmaError::Memlock { len: left + 4096, limit: LIMIT });
        let rest = request(left).unwrap();
        assert_eq!(Memlock::read().left(), Some(0));
        drop((memory, rest));
        assert_eq!(Memlock::read(), start, "unmapping unlocks");
    });
    thread.join().unwrap();
}

#[test]
fn every_answer_is_a_sentence() {
    let info = Info {
        requested: 1,
        mapped: 6 << 20,
        page: PAGE_4K,
        kind: Kind::Memfd,
        node: Some(1),
        locked: false,
        fallback: Some(Fallback { wanted: PAGE_1G, why: Why::NoSuchSize }),
    };
    assert_eq!(
        info.to_string(),
        "6 MiB in pages of 4 KiB (memfd), NUMA node 1, not locked; no pages of 1 GiB: this kernel or processor has none"
    );
    let huge = Info {
        mapped: 5 << 30,
        page: PAGE_1G,
        kind: Kind::Hugetlbfs,
        node: None,
        locked: true,
        fallback: None,
        ..info
    };
    assert_eq!(huge.to_string(), "5 GiB in pages of 1 GiB (hugetlbfs), locked");
}

/// Reserves hugepages for a test, and gives them back.
struct Reserved {
    path: String,
    before: u64,
}

impl Reserved {
    fn new(page: u64, count: u64) -> Reserved {
        Reserved::try_new(page, count)
            .unwrap_or_else(|| panic!("the kernel could not reserve {count} pages of {page:#x} bytes"))
    }

    /// `None` if memory is too scattered, which file caches make it on a machine that has run for long.
    fn try_new(page: u64, count: u64) -> Option<Reserved> {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages", page >> 10);
        let read = || fs::read_to_string(&path).unwrap().trim().parse::<u64>().unwrap();
        let reserved = Reserved { before: read(), path: path.clone() };
        let wanted = reserved.before + count;
        for _ in 0..4 {
            fs::write(&path, wanted.to_string()).unwrap();
            if read() >= wanted {
                return Some(reserved);
            }
            fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
            fs::write("/proc/sys/vm/compact_memory", "1").unwrap();
        }
        None
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        fs::write(&self.path, self.before.to_string()).unwrap();
    }
}

fn root_tests() -> bool {
    let wanted = std::env::var("KIT_ROOT_TESTS").is_ok_and(|value| value == "1");
    if !wanted {
        eprintln!("skipped: reserves hugepages, needs root and KIT_ROOT_TESTS=1");
    }
    wanted
}

#[test]
fn hugepages_are_used_when_they_are_reserved() {
    if !root_tests() {
        return;
    }
    let _turn = turn();
    let _reserved = Reserved::new(PAGE_2M, 8);
    let free = free_pages(PAGE_2M);
    let memory = Request::new(3 << 20).alloc().unwrap();
    assert_eq!(free_pages(PAGE_2M), free - 2);
    let info = check_usable(memory);
    let expected = Info {
        requested: 3 << 20,
        mapped: 4 << 20,
        page: PAGE_2M,
        kind: Kind::HugeMemfd,
        node: info.node,
        locked: true,
        fallback: None,
    };
    assert_eq!(info, expected);
    assert_eq!(free_pages(PAGE_2M), free, "what was dropped is free again");
    // A node by name; one page too many is not a SIGBUS.
    let node = Request::new(1).pages(Pages::Size2M).node(0).exactly().alloc().unwrap().info();
    assert_eq!((node.node, node.page), (Some(0), PAGE_2M));
    let too_much = Request::new((free + 1) * PAGE_2M).pages(Pages::Size2M);
    assert!(matches!(too_much.exactly().alloc(), Err(DmaError::NoMemory { .. })));
    assert_eq!(free_pages(PAGE_2M), free, "what failed left nothing");
}

#[test]
fn a_gibibyte_page_is_used_when_it_is_reserved_and_missed_aloud_when_not() {
    if !root_tests() {
        return;
    }
    let _turn = turn();
    let Some(_reserved) = Reserved::try_new(PAGE_1G, 1) else {
        let info = check_usable(Request::new(1000 << 20).pages(Pages::Size1G).alloc().unwrap());
        assert!(info.page < PAGE_1G && info.fallback.is_some());
        let exactly = Request::new(1).pages(Pages::Size1G).exactly().alloc();
        assert!(matches!(exactly, Err(DmaError::NoMemory { .. })));
        return;
    };
    let info = check_usable(Request::new(1000 << 20).alloc().unwrap());
    assert_eq!((info.page, info.mapped, info.fallback), (PAGE_1G, PAGE_1G, None));
    let small = Request::new(1).pages(Pages::Size1G).exactly().alloc().unwrap().info();
    assert_eq!((small.requested, small.mapped), (1, PAGE_1G));
}

#[test]
fn a_hugetlbfs_mount_is_found_and_used() {
    if !root_tests() {
        return;
    }
    let _turn = turn();
    let _reserved = Reserved::new(PAGE_2M, 4);
    let mount = Mount::new();
    let info = check_usable(Request::new(PAGE_2M).only(Kind::Hugetlbfs).exactly().alloc().unwrap());
    assert_eq!((info.kind, info.page, info.mapped), (Kind::Hugetlbfs, PAGE_2M, PAGE_2M));
    let kept = Request::new(PAGE_2M).only(Kind::Hugetlbfs).exactly().alloc().unwrap();
    assert_eq!(fs::read_dir(&mount.0).unwrap().count(), 0, "no file stays behind, not even while it is used");
    drop(kept);
}

/// A hugetlbfs mount, for a name with a space in it.
struct Mount(std::path::PathBuf);

impl Mount {
    fn new() -> Mount {
        let path = std::env::temp_dir().join(format!("huge pages {}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let mount = std::process::Command::new("mount");
        let status = { mount }.args(["-t", "hugetlbfs", "-o", "pagesize=2M", "none"]).arg(&path).status();
        assert!(status.unwrap().success());
        Mount(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        assert!(std::process::Command::new("umount").arg(&self.0).status().unwrap().success());
        fs::remove_dir(&self.0).unwrap();
    }
}
