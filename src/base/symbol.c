#include "base/symbol.h"

#include "base/os.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>

/* The file of the module that was looked at last. */
static struct {
	const void *base; /* where the module is loaded; NULL: none */
	const unsigned char *bytes;
	uint64_t size;
} file;

/* What lies at [offset, offset + bytes) of the file; NULL if it ends before or is not aligned. */
static const void *part(uint64_t offset, uint64_t bytes)
{
	if (offset > file.size || bytes > file.size - offset || offset % sizeof(uint32_t) != 0)
		return NULL;
	return file.bytes + offset;
}

static void file_open(const void *base, const char *path)
{
	void *bytes = NULL;
	uint64_t size = 0;
	int fd;

	if (file.base == base)
		return;
	if (file.bytes)
		status_ignore(os_unmap((void *)(uintptr_t)file.bytes, file.size)); /* only space */
	file.base = base;
	file.bytes = NULL;
	file.size = 0;
	if (!status_ok(os_open(path, O_RDONLY, 0, &fd)))
		return;
	if (status_ok(os_file_bytes(fd, &size)) && size > 0 &&
	    status_ok(os_map_file(NULL, size, fd, 0, false, &bytes))) {
		file.bytes = bytes;
		file.size = size;
	}
	os_close(fd);
}

/* The name at `offset` of a string table; NULL if it does not end within. */
static const char *name_at(const ElfW(Shdr) * strings, uint64_t offset)
{
	const char *text;

	if (offset >= strings->sh_size || strings->sh_offset > file.size ||
	    strings->sh_size > file.size - strings->sh_offset)
		return NULL;
	text = (const char *)file.bytes + strings->sh_offset + offset;
	return memchr(text, '\0', strings->sh_size - offset) ? text : NULL;
}

static const char *find_in(const ElfW(Shdr) * table, const ElfW(Shdr) * strings, uintptr_t address)
{
	const ElfW(Sym) *symbols = part(table->sh_offset, table->sh_size);
	size_t count = table->sh_size / sizeof(*symbols);

	for (size_t i = 0; symbols && i < count; i++)
		if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC &&
		    symbols[i].st_shndx != SHN_UNDEF && address >= symbols[i].st_value &&
		    address - symbols[i].st_value < symbols[i].st_size)
			return name_at(strings, symbols[i].st_name);
	return NULL;
}

/* From the table of all symbols, or of the exported ones in a file that was stripped. */
static const char *function_at(uintptr_t address)
{
	const ElfW(Ehdr) *head = part(0, sizeof(*head));
	const ElfW(Shdr) * sections;

	if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    head->e_shentsize != sizeof(*sections))
		return NULL;
	sections = part(head->e_shoff, (uint64_t)head->e_shnum * sizeof(*sections));
	for (size_t i = 0; sections && i < head->e_shnum; i++) {
		const char *name;

		if ((sections[i].sh_type != SHT_SYMTAB && sections[i].sh_type != SHT_DYNSYM) ||
		    sections[i].sh_link >= head->e_shnum)
			continue;
		name = find_in(&sections[i], &sections[sections[i].sh_link], address);
		if (name)
			return name;
	}
	return NULL;
}

bool symbol_find(uintptr_t pc, struct symbol *ret)
{
	struct link_map *map = NULL;
	Dl_info info;

	if (!dladdr1((const void *)pc, &info, (void **)&map, RTLD_DL_LINKMAP) || !map ||
	    !info.dli_fname)
		return false;
	/* the program itself has no name there, and argv[0] may be no path */
	file_open(info.dli_fbase, map->l_name[0] ? map->l_name : "/proc/self/exe");
	*ret = (struct symbol){
		.module = info.dli_fname,
		.address = pc - map->l_addr,
		.function = function_at(pc - map->l_addr),
	};
	return true;
}
