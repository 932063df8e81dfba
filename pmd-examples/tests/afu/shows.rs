//! Lists, registers, information, scripts, bitstreams, and a card that another process serves.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{afu, ends, finish, json};

#[test]
fn lists_show_what_is_there() {
    let list = json(0, "ls");
    let names: Vec<_> =
        list["accelerators"].as_array().unwrap().iter().map(|afu| afu["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["HE-LBK", "HE-MEM", "NLB0", "stream"]);
    let (out, _) = ends(0, "ls");
    assert!(
        out.contains("8086:bcce") && out.contains("port 2: d8424dc4-a4a3-c413-f89e-433683f9040b NLB0"),
        "{out}"
    );
    let walk = json(0, "walk");
    let kinds: Vec<_> =
        walk.as_array().unwrap().iter().map(|feature| feature["kind"].as_str().unwrap()).collect();
    for kind in
        ["FME", "port", "AFU", "thermal", "power", "performance", "partial reconfiguration", "port errors"]
    {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let (out, _) = ends(0, "walk");
    assert!(out.contains("BAR 0 0x0: FME, id 0x0") && out.contains("(HE-MEM)"), "{out}");
}

#[test]
fn information_is_that_of_the_card() {
    let mut command = afu("--json info thermal");
    command.args(["--order", "temperature 66"]);
    let thermal: serde_json::Value = serde_json::from_str(&super::out(&finish(command))).unwrap();
    assert_eq!(thermal["FPGA Temperature (°C)"], 66);
    assert_eq!(json(0, "info power")["Consumed (W)"], 28);
    let fme = json(0, "info fme");
    assert_eq!((&fme["Ports Num"], &fme["Bitstream Id"]), (&4.into(), &"0x0240000202884c7e".into()));
    let port = &json(0, "info port --port 1 --set-clock 250")[0];
    assert_eq!((&port["Accelerator"], &port["User Clock Low (Hz)"]), (&"HE-MEM".into(), &250_000_000.into()));
    assert!(json(0, "info perf")["fab_mmio_read"].as_u64().unwrap() > 0);
    let (out, _) = ends(0, "info port");
    assert_eq!(out.matches("In Reset                 : no").count(), 4, "{out}");
    let (_, err) = ends(2, "info port --port 9");
    assert!(err.contains("no port 9"), "{err}");
}

#[test]
fn errors_appear_and_clear() {
    let injected = json(0, "info errors --inject nonfatal");
    assert_eq!(injected["FME"]["nonfatal"]["errors"], serde_json::json!(["injected"]));
    let script =
        script(&["info errors --inject nonfatal", "info errors --inject none", "info errors --clear"]);
    let (out, _) = ends(0, &format!("--script {}", script.path().display()));
    let last = out.rsplit("> info errors").next().unwrap();
    assert!(!last.contains("injected"), "{last}");
    let mut command = afu("--json info errors --clear");
    command.args(["--order", "error port 1 0x1"]);
    let cleared: serde_json::Value = serde_json::from_str(&super::out(&finish(command))).unwrap();
    assert_eq!(cleared["Port 1"]["bits"], "0x0");
}

fn script(lines: &[&str]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    file
}

#[test]
fn a_script_runs_on_one_card_and_stops_at_the_first_failure() {
    let scratch = "--afu 56e203e9-864f-49a7-b94b-12284c31e02b";
    let good = script(&[
        "# a scratchpad",
        &format!("poke 0x108 0x1122334455667788 {scratch}  # 64 bits"),
        &format!("peek 0x108 {scratch} -w 64"),
        &format!("peek 0x10c {scratch} -w 32"),
        "reset --port 0",
        "lpbk -m lpbk",
    ]);
    let (out, _) = ends(0, &format!("--script {}", good.path().display()));
    // The port is reset when the last handle is dropped, so the scratchpad is clear again.
    assert!(out.contains("port 0: reset") && out.contains("Test lpbk cl_1: PASS"), "{out}");
    assert!(out.lines().any(|line| line.starts_with("0x")), "{out}");

    let bad = script(&["ls", "peek 0xffffffff", "walk"]);
    let (out, err) = ends(1, &format!("--script {}", bad.path().display()));
    assert!(out.contains("> ls") && !out.contains("> walk"), "{out}");
    assert!(err.contains(":2:"), "{err}");
    let wrong = script(&["ls", "", "fly"]);
    let (out, err) = ends(2, &format!("--script {}", wrong.path().display()));
    assert!(out.is_empty() && err.contains(":3:") && err.contains("fly"), "nothing ran: {out}{err}");
    let (_, err) = ends(2, &format!("--script {} ls", good.path().display()));
    assert!(err.contains("--script"), "{err}");
}

#[test]
fn a_port_is_reconfigured_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    ends(0, &format!("package he-mem {} --clock 125", path("mem.gbs")));
    let loaded = json(0, &format!("--model nlb0,nlb0 reconfigure {} --port 1", path("mem.gbs")));
    assert_eq!(loaded["accelerator"], "8568ab4e-6ba5-4616-bb65-2a578330a8eb");
    assert_eq!(
        (&loaded["user_clock_low"], &loaded["user_clock_high"]),
        (&125_000_000.into(), &250_000_000.into())
    );
    let used = script(&[&format!("reconfigure {} --port 1", path("mem.gbs")), "mem -m lpbk --port 1"]);
    let (out, _) = ends(0, &format!("--model nlb0,nlb0 --script {}", used.path().display()));
    assert!(out.contains("Test lpbk cl_1: PASS"), "{out}");

    ends(
        0,
        &format!(
            "package he-mem {} --interface-id {}",
            path("foreign.gbs"),
            "91c2a3a1-4a23-4e21-a7cd-2b36dbf2ed73"
        ),
    );
    let (_, err) = ends(1, &format!("reconfigure {}", path("foreign.gbs")));
    assert!(err.contains("the bitstream is for interface 91c2a3a1"), "{err}");
    let whole = std::fs::read(path("mem.gbs")).unwrap();
    std::fs::write(path("short.gbs"), &whole[..100]).unwrap();
    let (_, err) = ends(2, &format!("reconfigure {}", path("short.gbs")));
    assert!(err.contains("truncated"), "{err}");
    std::fs::write(path("raw.rbf"), &whole[whole.len() - 1024..]).unwrap();
    let (_, err) = ends(2, &format!("reconfigure {}", path("raw.rbf")));
    assert!(err.contains("not a GBS file"), "{err}");
    let mut damaged = whole.clone();
    let last = damaged.len() - 10;
    damaged[last] ^= 1;
    std::fs::write(path("damaged.gbs"), damaged).unwrap();
    let (_, err) = ends(1, &format!("reconfigure {}", path("damaged.gbs")));
    assert!(err.contains("crc"), "{err}");
    let (_, err) = ends(2, &format!("reconfigure {}", path("absent.gbs")));
    assert!(err.contains("absent.gbs"), "{err}");
}

#[test]
fn a_card_of_another_process_is_used_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("card");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_pmd"));
    serve.args([
        "serve",
        "afu",
        "--afu",
        "he-lpbk",
        "--afu",
        "stream",
        "--vsec",
        "--stats-period",
        "0",
        "--socket",
    ]);
    let mut server = serve.arg(&socket).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !socket.exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let at = format!("--socket {}", socket.display());
    let results = std::panic::catch_unwind(|| {
        let names = json(0, &format!("{at} ls"));
        assert_eq!(names["accelerators"][0]["name"], "HE-LBK");
        let report = json(0, &format!("{at} lpbk"));
        assert_eq!(report["pass"], true, "{report:#}");
        assert_eq!(json(0, &format!("{at} stream -n 300"))["wrong"], 0);
        assert_eq!(json(0, &format!("{at} info thermal"))["FPGA Temperature (°C)"], 42);
    });
    server.kill().unwrap();
    server.wait().unwrap();
    results.unwrap();
}
