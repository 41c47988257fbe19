// ReDoc fetches its maker's logo from the internet, where no page of ours goes: an
// empty picture takes its place. React sets an address both ways.
(() => {
  const elsewhere = "https://cdn.redoc.ly/";
  const nothing =
    "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
  const allowed = (address) =>
    String(address).startsWith(elsewhere) ? nothing : address;

  const image = HTMLImageElement.prototype;
  const setAttribute = Element.prototype.setAttribute;
  image.setAttribute = function (name, value) {
    setAttribute.call(this, name, name === "src" ? allowed(value) : value);
  };
  const src = Object.getOwnPropertyDescriptor(image, "src");
  Object.defineProperty(image, "src", {
    ...src,
    set(address) {
      src.set.call(this, allowed(address));
    },
  });
})();
