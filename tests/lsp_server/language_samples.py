"""A sample of code for each language id. `hole` stands in code, `text` in comments and strings; what is in none of them is neither."""

from __future__ import annotations

_JAVASCRIPT = """import { a } from "text";
// text, and more text
/* text */
export class A extends B {
  x = hole;
  f(b, { c }) {
    switch (b) {
      case 1:
        return this.x;
      default:
        throw new Error(`text ${hole} text`);
    }
  }
}
const g = async (d) => {
  const pattern = /text/;
  call(d, function () {
    hole;
  });
};
"""

_TYPESCRIPT = """import { a } from "text";
interface P {
  // text
  a: number;
  f(x: string): void;
}
enum E { X, Y = 2 }
namespace N {
  export type T = { a: hole };
}
abstract class C<T> implements P {
  private a: number = hole;
  f(x: string): void {
    call(`text ${hole}`, (y: number): number => { return y; });
  }
  abstract g(): void;
}
"""

_ELEMENT = """const element = (
  <b c="text">
    {hole} and <i>more</i>
  </b>
);
"""

SAMPLES = {
    "python": '''"""text"""
import os
from a import b  # text


@decorator
class A(B):
    x: int = hole

    def f(self, a):
        """text"""
        if a:
            hole
        return f"text {hole} text"
''',
    "javascript": _JAVASCRIPT,
    "javascriptreact": _JAVASCRIPT + _ELEMENT,
    "typescript": _TYPESCRIPT,
    "typescriptreact": _TYPESCRIPT + _ELEMENT,
    "go": """package p

import (
	"text"
)

// text
const A = hole

type T struct {
	a int // text
}

type I interface {
	F(a int) error
}

func (t *T) F(a int) (int, error) {
	switch a {
	case 1:
		call(`text`, hole)
	default:
		panic("text")
	}
	for i := range hole {
		x := 't'
	}
	return 1, nil
}
""",
    "rust": """use std::io;

/// text
#[derive(Debug)]
pub struct A {
    pub a: i32, // text
}

/* text */
impl A {
    pub fn f(&self, a: i32) -> hole {
        let x = match a {
            0 => hole,
            _ => {
                todo!()
            }
        };
        call(x.iter().map(|v| { v + 1 }));
        println!("text {}", hole);
        r#"text"#
    }
}
""",
    "java": '''package a.b;

import java.util.List;

/** text */
@X
public class A extends B {
    private int a = hole; // text

    A(int x) {
        this.a = x;
    }

    int f(int a) {
        switch (a) {
            case 1:
                g("text");
                break;
            default:
                String s = """
                    text
                    """;
        }
        Runnable r = () -> { g(hole); };
        return a;
    }
}
''',
    "c": """#ifndef A_H
#define A_H
#include <text.h>
#include "text.h"

/* text */
#define M hole

struct A {
    int a; // text
};

int f(int a)
{
    switch (a) {
    case 1:
        g("text", hole);
        break;
    default:
        return hole;
    }
#ifdef D
    a++;
#endif
    return 0;
}
#endif
""",
    "cpp": """#include <text>
using namespace std;

namespace n {
template <typename T>
class A : public B {
 public:
  // text
  A(int x) : a(hole) {}
  int f() const override { return a; }

 private:
  int a = hole;
};

int A::g(int b) {
  auto l = [&](int x) { return hole; };
  h(R"(text)", "text");
  return b;
}
}  // namespace n
""",
}
