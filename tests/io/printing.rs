//! `print!` and its kin: child processes whose output is not read for a while.

use crate::child::{finish, is_child, lines, start};
use crate::support::{on_one_worker, until_one_waits_in};
use rustlet::io::{BufRead, Write};
use rustlet::{eprint, eprintln, print, println, spawn_local};

#[test]
fn lines_come_whole_and_in_order() {
    let name = "printing::lines_come_whole_and_in_order";
    if is_child(name) {
        return rustlet::run(|| {
            println!();
            let n = 1;
            println!("> {n} and {}", 2);
            print!("> {:>3}", 3);
            print!(", {}\n", "four");
            println!("> {{}}");
            eprint!("> five ");
            eprintln!("and {n:?}");
            eprintln!();
        });
    }
    let mut child = start(name);
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(lines(&output.stdout), ["1 and 2", "  3, four", "{}"]);
    assert_eq!(lines(&output.stderr), ["five and 1"]);
}

#[test]
fn output_that_is_not_read_stops_one_thread() {
    let name = "printing::output_that_is_not_read_stops_one_thread";
    if is_child(name) {
        return on_one_worker(|| {
            let writer = spawn_local(|| {
                for _ in 0..5000 {
                    println!("> {}", "x".repeat(100));
                }
            });
            until_one_waits_in("write");
            /// Prints while its thread unwinds.
            struct Late;
            impl Drop for Late {
                fn drop(&mut self) {
                    // It would have to wait, which a cancelled thread does not.
                    println!("> late");
                }
            }
            let cancelled = spawn_local(|| {
                let _late = Late;
                rustlet::park();
            });
            rustlet::yield_now();
            cancelled.cancel();
            eprintln!("goes on");
            writer.join().unwrap();
            assert!(rustlet::Cancelled::is(&*cancelled.join().unwrap_err()));
        });
    }
    let mut child = start(name);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "goes on\n");
    child.stdin.take().unwrap().flush().unwrap();
    let printed = finish(child);
    assert_eq!(printed.iter().filter(|line| *line != "late").count(), 5000);
}
