//! Sets the wall clock of one running process. Programs get the time from the vDSO, a few pages of kernel code in their
//! own memory. This module patches that code: reads of the wall clock run a few more instructions, which add an offset.
//! This also works for statically linked programs such as those in Go, where no library can replace the call.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use object::{Object, ObjectSymbol};

/// Machine code that reads a clock from the kernel. If it is the wall clock, the code adds the number at `SECONDS`.
const CODE: [u8; 22] = [
    0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228: clock_gettime
    0x0f, 0x05, // syscall
    0x85, 0xff, // test edi, edi: is it CLOCK_REALTIME?
    0x75, 0x0a, // jne: past the addition
    0x48, 0x8b, 0x0d, 0x0e, 0x00, 0x00, 0x00, // mov rcx, [rip + 14]: the number at `SECONDS`
    0x48, 0x01, 0x0e, // add [rsi], rcx
    0xc3, // ret
];
/// The offset of the seconds from the beginning of the code.
const SECONDS: u64 = 32;
/// The bytes that the code and the seconds need.
const ROOM: u64 = 64;

pub(crate) struct WallClock {
    memory: File,
    seconds: u64,
}

impl WallClock {
    /// Patches a child process of this process.
    pub(crate) fn of(process: u32) -> Self {
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("the process runs");
        let vdso = maps.lines().find(|line| line.ends_with("[vdso]")).expect("the process has a vDSO");
        let (from, rest) = vdso.split_once('-').expect("a range");
        let (to, _) = rest.split_once(' ').expect("a range");
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).expect("an address"));
        let memory = File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/{process}/mem"))
            .expect("a parent may write the memory of its child");
        let mut image = vec![0; usize::try_from(to - from).expect("the vDSO is small")];
        memory.read_exact_at(&mut image, from).expect("the vDSO can be read");
        let function = function(&image);
        // The end of the vDSO's last page is unused.
        let code = to - from - ROOM;
        let free = &image[usize::try_from(code).expect("the vDSO is small")..];
        assert!(free.iter().all(|byte| *byte == 0), "the vDSO has no free space");
        let jump = i32::try_from(code - function - 5).expect("the vDSO is small").to_le_bytes();
        // The process is suspended during the writes, so that it never runs half-written code.
        signal(process, "-STOP");
        while !stands_still(process) {
            std::thread::yield_now();
        }
        memory.write_all_at(&CODE, from + code).expect("the vDSO can be written");
        memory.write_all_at(&[&[0xe9][..], &jump].concat(), from + function).expect("the vDSO can be written");
        signal(process, "-CONT");
        Self { memory, seconds: from + code + SECONDS }
    }

    /// Sets the clock to this many seconds ahead of the machine's clock.
    pub(crate) fn step_to(&self, seconds: i64) {
        self.memory.write_all_at(&seconds.to_le_bytes(), self.seconds).expect("the process runs");
    }
}

/// Returns the offset of the vDSO function that reads clocks.
fn function(image: &[u8]) -> u64 {
    let image = object::File::parse(image).expect("an ELF image");
    let symbol = image.dynamic_symbols().find(|symbol| symbol.name() == Ok("__vdso_clock_gettime"));
    symbol.expect("the vDSO has this function").address()
}

/// Whether all threads of a process are stopped.
fn stands_still(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process runs").flatten();
    let mut states = threads.map(|thread| std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
    states.all(|state| state.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T')))
}

fn signal(process: u32, signal: &str) {
    let status = Command::new("kill").args([signal, &process.to_string()]).status().expect("the program `kill` runs");
    assert!(status.success());
}
