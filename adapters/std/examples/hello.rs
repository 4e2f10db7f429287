//! Writes and reads a few bytes: `cargo run --example hello -- gluster://HOST/VOLUME`.
use brickwire_std::{OpenOptions, Volume};

fn main() -> brickwire_std::Result<()> {
    let uri = std::env::args().nth(1).unwrap_or_else(|| "gluster://localhost/vol".into());
    let volume = Volume::open(&uri)?;
    let file =
        volume.open_file("hello.txt", &OpenOptions::new().read(true).write(true).create(true))?;
    file.write_all_at(b"hello, brick", 0)?;
    file.flush()?;
    let mut back = [0; 12];
    file.read_exact_at(&mut back, 0)?;
    println!("{}", String::from_utf8_lossy(&back));
    for entry in volume.read_dir("/")? {
        let entry = entry?;
        println!("{:10} {}", entry.metadata().size(), entry.name_lossy());
    }
    file.close()
}
