# From the loader's 32-bit world to Rust: page tables, long mode, SSE, a stack.
#
# A PVH loader (Xen's "x86/HVM direct boot ABI", docs/misc/pvh.pandoc) starts at the address in the note below: protected
# mode, flat segments, no paging, interrupts off, %ebx with the address of what it has to say (hvm_start_info).

        .section .note.pvh, "a", @note
        .balign 4
        .long   4               # length of the name
        .long   8               # length of what follows it
        .long   18              # XEN_ELFNOTE_PHYS32_ENTRY
        .asciz  "Xen"
        .quad   start32

        .section .text.boot, "ax", @progbits
        .code32
        .globl  start32
start32:
        cld
        mov     %ebx, %esi              # kept for Rust

        # 4 GiB, each address its own: 2,048 pages of 2 MiB, present and writable.
        mov     $directories, %edi
        mov     $0x83, %eax
        mov     $2048, %ecx
1:      mov     %eax, (%edi)
        movl    $0, 4(%edi)
        add     $0x200000, %eax
        add     $8, %edi
        loop    1b
        mov     $pointers, %edi
        mov     $directories + 3, %eax
        mov     $4, %ecx
2:      mov     %eax, (%edi)
        add     $0x1000, %eax
        add     $8, %edi
        loop    2b
        movl    $pointers + 3, level4

        mov     $level4, %eax
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $0x620, %eax            # PAE, and SSE: OSFXSR, OSXMMEXCPT
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx       # EFER
        rdmsr
        or      $0x100, %eax            # LME
        wrmsr
        mov     %cr0, %eax
        and     $~4, %eax               # EM off
        or      $0x80000003, %eax       # PG, MP, PE
        mov     %eax, %cr0
        lgdt    table_pointer
        ljmp    $8, $start64

        .code64
start64:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $stack_end, %esp
        mov     %esi, %edi
        call    rust_start
3:      hlt
        jmp     3b

        .section .rodata.boot, "a", @progbits
        .balign 8
table:  .quad   0
        .quad   0x00af9b000000ffff      # 8: code, 64 bits
        .quad   0x00cf93000000ffff      # 16: data
table_pointer:
        .word   . - table - 1
        .long   table

        .section .bss.boot, "aw", @nobits
        .balign 4096
level4: .skip   4096
pointers:
        .skip   4096
directories:
        .skip   4 * 4096
        .skip   256 * 1024
stack_end:
