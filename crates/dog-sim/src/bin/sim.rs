//! temporary
use dog_sim::{Options, explore, explore_and_tell};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let from: u64 = a[1].parse().unwrap();
    let to: u64 = a[2].parse().unwrap();
    let mut o = Options::default();
    if let Some(b) = a.get(3) {
        o = o.bug(b.parse().unwrap());
    }
    let mut by = std::collections::BTreeMap::new();
    let (mut steps, mut handled) = (0, 0);
    for seed in from..to {
        if to == from + 1 {
            match explore_and_tell(seed, o) {
                Ok(x) => println!("ok {x:?}"),
                Err(f) => println!("{f}"),
            }
            return;
        }
        match explore(seed, o) {
            Ok(x) => {
                steps += x.steps;
                handled += x.handled;
            }
            Err(f) => {
                let e = by.entry(f.promise).or_insert((0, String::new()));
                e.0 += 1;
                if e.0 <= 3 {
                    e.1 += &format!("\n   {}: {}", f.seed, f.what);
                }
            }
        }
    }
    println!("steps {steps} handled {handled}");
    for (p, (n, e)) in by {
        println!("promise {p}: {n} {e}");
    }
}
