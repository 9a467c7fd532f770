/*
 * Names for addresses, from the symbol table of the running program: unlike dladdr() it knows
 * static functions, and findings are about those.
 */
#include "sim/sim_int.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX 8 /* names that one line may hold at a time */

static const ElfW(Sym) * symbols;
static size_t symbol_count;
static const char *symbol_strings;
static uintptr_t load_base;

static int base_take(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(uintptr_t *)arg = info->dlpi_addr;
	return 1; /* the first is the program itself */
}

static void symbols_find(const char *image)
{
	const ElfW(Ehdr) *header = (const void *)image;
	const ElfW(Shdr) *sections = (const void *)(image + header->e_shoff);

	for (size_t i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_type != SHT_SYMTAB)
			continue;
		symbols = (const void *)(image + sections[i].sh_offset);
		symbol_count = sections[i].sh_size / sizeof(*symbols);
		symbol_strings = image + sections[sections[i].sh_link].sh_offset;
	}
}

static void symbols_load(void)
{
	struct stat st;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0) {
		void *image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

		if (image != MAP_FAILED)
			symbols_find(image);
	}
	close(fd);
	dl_iterate_phdr(base_take, &load_base);
}

const char *symbol_name(const void *address)
{
	static char names[NAMES_MAX][96];
	static uint32_t turn;

	if (!symbols)
		symbols_load();

	/* a return address may lie behind the end of its function, when the call never returns */
	uintptr_t at = (uintptr_t)address - load_base - 1;
	char *name = names[turn++ % NAMES_MAX];

	for (size_t i = 0; i < symbol_count; i++) {
		const ElfW(Sym) *y = &symbols[i];

		if (ELF64_ST_TYPE(y->st_info) != STT_FUNC || at - y->st_value >= y->st_size)
			continue;
		snprintf(name, sizeof(names[0]), "%s+0x%zx", symbol_strings + y->st_name,
			 (size_t)(at - y->st_value));
		return name;
	}
	return "?";
}
