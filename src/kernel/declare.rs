//! The macros that declare an op once: its argument struct, and the constants that its shaders see.

/// Declares an op's argument struct, generic over the handle, with `map` and `args`.
///
/// Bindings are numbered from 2 in the order of declaration, absent optional arguments keep their number.
macro_rules! op {
    ($(#[$meta:meta])* $name:ident {
        reads { $($(#[$rm:meta])* $r:ident)* }
        optional { $($(#[$om:meta])* $o:ident)* }
        writes { $($(#[$wm:meta])* $w:ident)* }
        also { $($(#[$am:meta])* $a:ident)* }
        with { $($(#[$cm:meta])* $c:ident: $ct:ty,)* }
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name<T> {
            $($(#[$rm])* pub $r: T,)*
            $($(#[$om])* pub $o: Option<T>,)*
            $($(#[$wm])* pub $w: T,)*
            $($(#[$am])* pub $a: Option<T>,)*
            $($(#[$cm])* pub $c: $ct,)*
        }

        impl<T> $name<T> {
            /// The same op over other handles.
            pub fn map<U>(&self, f: &mut dyn FnMut(&T) -> U) -> $name<U> {
                $name {
                    $($r: f(&self.$r),)*
                    $($o: self.$o.as_ref().map(&mut *f),)*
                    $($w: f(&self.$w),)*
                    $($a: self.$a.as_ref().map(&mut *f),)*
                    $($c: self.$c.clone(),)*
                }
            }

            /// The tensor arguments that are present, in binding order.
            pub fn args(&self) -> Vec<$crate::kernel::Arg<&T>> {
                use $crate::kernel::{Access, Arg};
                let all: Vec<(&'static str, Access, Option<&T>)> = vec![
                    $((stringify!($r), Access::Read, Some(&self.$r)),)*
                    $((stringify!($o), Access::Read, self.$o.as_ref()),)*
                    $((stringify!($w), Access::Write, Some(&self.$w)),)*
                    $((stringify!($a), Access::Write, self.$a.as_ref()),)*
                ];
                let numbered = all.into_iter().zip(2..);
                numbered
                    .filter_map(|((name, access, handle), binding)| Some(Arg { name, access, binding, handle: handle? }))
                    .collect()
            }
        }
    };
}

/// Declares the constants of an op's dispatch once: the Rust struct that is uploaded and the WGSL struct that reads it.
macro_rules! constants {
    ($name:ident { $($field:ident: $ty:ident,)* }) => {
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name { $(pub $field: $ty),* }

        impl $name {
            /// The declaration for the shader; `c` is the uniform at binding 0.
            pub const WGSL: &'static str = concat!(
                "struct Constants {\n",
                $("    ", stringify!($field), ": ", stringify!($ty), ",\n",)*
                "}\n@group(0) @binding(0) var<uniform> c: Constants;\n"
            );
        }
    };
}
