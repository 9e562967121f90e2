//! Makes cargo look again when a migration file comes or goes: the macro that embeds them cannot.

fn main() {
    println!("cargo:rerun-if-changed=mysql");
    println!("cargo:rerun-if-changed=sqlite");
}
